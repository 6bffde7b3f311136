"""The HTTP side: one module per group of routes."""
