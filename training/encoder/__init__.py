"""Family ``encoder``: convolutional networks whose features other networks read."""
