"""Feedback: from the stream in Redis into an append-only log on disk, each event exactly once."""
