"""Pictures for convolutional networks: reading, cropping, residual networks."""
