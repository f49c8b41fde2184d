"""Settings of a sweep: frozen dataclasses, and the expressions that declare them."""
