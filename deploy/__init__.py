"""Launchers: the sample data, an embedded Redis-protocol server and a local stack of both halves."""
