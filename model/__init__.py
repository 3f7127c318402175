"""MAGNET as pure tensor code, and the contract between training and serving (`model.artifact`)."""
