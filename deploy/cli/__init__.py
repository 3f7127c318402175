"""The one command of the product, `magnet`: its list of commands, and those that ask a service."""

VERSION = "0.2.0"
"""Of the product; pyproject.toml reads it from here, as images hold no installed package."""
