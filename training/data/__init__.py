"""Data sets: interactions, items, features, splits."""
