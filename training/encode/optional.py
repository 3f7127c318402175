"""Loads a module whose libraries may not be installed.

Knows what to tell a user who lacks one; knows nothing about what the module does.
"""

from importlib import import_module
from types import ModuleType

from training.encode.encoder import EncoderError

ENCODERS_EXTRA = "pip install -e '.[training,encoders]' in the project's folder"


def load(module: str, remedy: str = ENCODERS_EXTRA) -> ModuleType:
    """A module by its full name; EncoderError names the library that it misses and the remedy."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise EncoderError(f"the library {error.name} is not installed: {remedy}") from error
