"""The gRPC side of the server: wire to ``serving.types`` and back, nothing else."""
