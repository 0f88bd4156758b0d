"""Building blocks by name: activations, losses, optimisers, initialisation, schedules."""
