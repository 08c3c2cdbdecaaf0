"""Referring segmentation datasets."""
