"""Text-to-image diffusion models, read for their attention to words."""
