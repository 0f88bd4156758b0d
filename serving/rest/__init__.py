"""REST: wire to ``serving.types`` and back, errors to statuses, nothing else."""
