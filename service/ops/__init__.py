"""Settings, metrics, logs, batches and the process itself."""
