"""What scores an artifact: numpy and onnxruntime, no PyTorch."""
