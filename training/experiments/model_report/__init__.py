"""A picture of a trained artifact: its embeddings, whom its experts serve, what its lists cover."""
