"""Settings, metrics, logs and the process itself."""
