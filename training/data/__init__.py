"""Readers of data sets, batch order and augmentation."""
