"""How long the method takes: measured beside the plain way and beside the floor of its arithmetic."""
