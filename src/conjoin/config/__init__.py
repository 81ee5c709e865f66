"""Settings: presets, typed tables and the values they choose from."""
