"""Ranking metrics, and the evaluation of an artifact."""
