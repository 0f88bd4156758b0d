"""``quartet kit``: measures a model repository and writes manifests and alerts sized for it.

It starts the server as a process, or takes one that runs, and talks to it over HTTP alone.
"""
