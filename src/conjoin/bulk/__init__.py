"""Extraction from very many documents: partition by partition, each written whole or not at all, by any engine."""
