"""From settings and a corpus to trained, scored and saved models: single runs, folds, seeds, tables of papers."""
