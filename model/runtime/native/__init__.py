"""The inner loops of exact search in C; numpy has a twin of each, for where they are not built."""
