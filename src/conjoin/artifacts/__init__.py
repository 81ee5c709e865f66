"""Saved models: the model folder, weights, exported graphs, model card, model hub."""
