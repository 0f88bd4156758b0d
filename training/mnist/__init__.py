"""Family ``mnist``: which digit a 28x28 picture shows."""
