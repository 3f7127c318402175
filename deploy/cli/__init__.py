"""The one command of the product, `magnet`: its list of commands, and those that ask a service."""

VERSION = "0.2.0"
"""The product's version; pyproject.toml reads it here, since images install no package."""
