"""The benchmark: MAGNET and its variants beside tuned baselines on one data set."""
