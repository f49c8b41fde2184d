"""Jobs, and the worker processes and devices that run them."""
