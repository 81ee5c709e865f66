"""Scores to entities and relations, in numpy, for every back end."""
