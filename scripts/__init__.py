"""Developers' tools that are run from a checkout and are not installed."""
