"""conjoin: joint named-entity recognition and relation extraction."""

__version__ = "0.1.0"
