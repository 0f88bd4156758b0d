"""Family ``text``: character language models."""
