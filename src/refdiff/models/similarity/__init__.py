"""Models that compare images with texts."""
