"""Benchmarks of the whole product: serving, lifecycle, scaling."""
