"""Corpora: the public ones, the sample corpus, statistics."""
