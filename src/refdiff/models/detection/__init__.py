"""Models that find boxes of what a text names."""
