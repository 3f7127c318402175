"""Traces that both halves write, by OpenTelemetry if it is set up."""
