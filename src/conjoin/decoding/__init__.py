"""From scores to entities and relations without torch: the numpy twins of what the heads do, for exported models."""
