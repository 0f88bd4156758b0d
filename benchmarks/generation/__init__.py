"""Streaming text generation beside the bare graphs, one text at a time and static batches."""
