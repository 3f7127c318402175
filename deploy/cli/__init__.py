"""The one command of the product, `magnet`: its list of commands, and those that ask a service."""
