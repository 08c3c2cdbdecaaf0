"""The ground floor: images, masks, proposals, files and drawing; imports no model library."""
