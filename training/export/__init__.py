"""Writes a trained model as ONNX, proves it, and publishes it. Knows no family."""
