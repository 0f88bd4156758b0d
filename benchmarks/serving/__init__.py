"""The server's throughput and latency beside the bare engine and a plain FastAPI application."""
