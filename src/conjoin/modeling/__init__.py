"""The joint model: embedders, layers, heads, and building them from settings."""
