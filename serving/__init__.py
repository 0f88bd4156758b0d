"""The inference server. Never imports ``torch`` or ``training``."""
