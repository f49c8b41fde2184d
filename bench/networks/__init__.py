"""Networks whose parameters are views into one flat tensor."""
