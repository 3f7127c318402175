"""A month of feedback and nightly retraining, against the model that was there at its start."""
