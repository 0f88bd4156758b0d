"""Family ``words``: an encoder that learns which words people use of a photograph."""
