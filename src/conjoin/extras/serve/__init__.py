"""A trained model as a web service."""

from conjoin.extras.serve.app import create_app
from conjoin.extras.serve.limits import Limits

__all__ = ["Limits", "create_app"]
