"""Models that draw masks, and the automatic mask generator around them."""
