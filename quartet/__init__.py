"""Quartet: trains four model families and serves them, or any ONNX model, over REST and gRPC."""

__version__ = "0.1.0"
