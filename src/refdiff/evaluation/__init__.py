"""Evaluation: metrics, a resumable runner, significance, the paper's tables, and a self-test on photographs."""
