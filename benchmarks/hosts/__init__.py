"""What a host such as Ray Serve costs beside the plain server."""
