"""Scores, error analysis and calibration over lists of documents."""
