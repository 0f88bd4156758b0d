"""The network of captions for ``training.graphs``. No module here knows PyTorch."""
