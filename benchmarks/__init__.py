"""Measurements of Quartet. Run by hand on a quiet machine; nothing here is part of the server."""
