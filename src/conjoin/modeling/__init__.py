"""The joint model: embedders, layers and heads, and how settings become one."""
