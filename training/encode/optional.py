"""Loads a module whose libraries may not be installed.

Knows what to tell a user who lacks one; knows nothing about what the module does.
"""

from importlib import import_module
from types import ModuleType

from training.encode.encoder import EncoderError, first_line

ENCODERS_EXTRA = "pip install -e '.[training,encoders]' in the project's folder"


def load(module: str, remedy: str = ENCODERS_EXTRA) -> ModuleType:
    """A module by its full name; EncoderError says why it cannot be loaded, and the remedy."""
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:  # torchvision's, for a torch that does not fit
        raise EncoderError(
            f"a library is missing or unfit ({first_line(error)}): {remedy}"
        ) from error
