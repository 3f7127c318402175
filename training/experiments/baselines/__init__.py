"""Strong models that MAGNET is compared with, their settings chosen on the validation part.

How to add one: docs/contributing.md. Nothing in this folder may read the test part.
"""
