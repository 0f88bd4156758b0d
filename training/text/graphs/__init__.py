"""Networks of characters for ``training.graphs``. No module here knows PyTorch."""
