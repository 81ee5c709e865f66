"""Raw text to sentences and words with character offsets, windows over long sentences, and back."""
