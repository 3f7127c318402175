"""API keys, who may call what, and rate limits."""
