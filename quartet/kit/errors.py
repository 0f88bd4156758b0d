"""What can go wrong between the command and the server that it measures."""

from quartet.config import ConfigError


class KitError(ConfigError):
    """The kit cannot be made; the text says what was wrong and what to do about it."""
