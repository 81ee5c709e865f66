"""Featurisers: words to arrays of pieces, characters, casing and word numbers, in numpy."""
