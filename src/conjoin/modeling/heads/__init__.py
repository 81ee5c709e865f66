"""Heads: scores of tags and of relations."""
