"""Generated pictures over HTTP and gRPC, beside the bare graph."""
