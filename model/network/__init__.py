"""MAGNET in PyTorch: encoder, experts, router, head, losses and schedule."""
