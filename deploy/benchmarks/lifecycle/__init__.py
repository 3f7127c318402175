"""Nightly retraining on simulated feedback, beside the model of the start."""
