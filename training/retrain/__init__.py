"""One retraining: events in, a new model out, if it meets the promotion rules."""
