"""Files: atomic and resumable writing, downloads, the cache folder."""
