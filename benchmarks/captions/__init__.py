"""Captions over HTTP and in process, beside the same graphs run one request at a time."""
