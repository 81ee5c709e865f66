"""The version of this package, in one place: the build, the command line and saved models read it here."""

__version__ = "0.1.0"
