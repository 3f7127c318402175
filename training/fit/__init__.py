"""Training: graphs, sampling, objective, trainer, calibration."""
