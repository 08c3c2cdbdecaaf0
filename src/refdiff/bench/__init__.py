"""How long refdiff takes: beside the reference implementation, and beside the floor of its arithmetic."""
