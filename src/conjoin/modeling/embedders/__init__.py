"""Embedders: words to features on the CPU, features to vectors on the device."""
