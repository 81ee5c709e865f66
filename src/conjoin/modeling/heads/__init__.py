"""Heads: states of words to entities, and entities to relations."""
