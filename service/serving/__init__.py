"""Which model is served: loading, following, snapshots, canaries."""
