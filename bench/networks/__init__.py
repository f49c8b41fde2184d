"""Networks over a flat tensor of parameters."""
