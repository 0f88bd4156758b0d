"""Measures a trained run on a held-out split."""
