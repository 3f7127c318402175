"""Benchmark: MAGNET and its variants beside tuned baselines on one data set, and the report of it.

Knows every model through what it scores; knows nothing about serving.
"""
