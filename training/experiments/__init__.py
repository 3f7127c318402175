"""Baselines, benchmarks and studies. Nothing else imports them but the command line."""
