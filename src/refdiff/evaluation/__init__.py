"""Metrics, the resumable runner, significance, and the paper's tables."""
