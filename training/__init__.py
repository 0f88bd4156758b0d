"""Trains the model families and exports them. Never imports ``serving``."""
