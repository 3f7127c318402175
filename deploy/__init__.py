"""Launchers: the sample data, an embedded Redis-protocol server, both halves on one machine."""
