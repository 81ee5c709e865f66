"""What models read of words, as arrays: pieces, characters, casing, numbers of words. No torch."""
