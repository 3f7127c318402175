"""Feedback: from the stream in Redis into an append-only log on disk, each event exactly once.

Knows the contract's events; knows nothing about what training makes of them.
"""
