"""Sentences and words of raw text with character offsets; windows over long sentences and merging their annotations."""
