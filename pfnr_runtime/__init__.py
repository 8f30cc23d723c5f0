"""The edge decoder: open an exported video, decode any frame, write or show it. No torch, no onnx."""

__version__ = "0.1.0"
