"""Family ``caption``: says in words what a photograph shows."""
