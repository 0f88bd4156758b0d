"""The one error of the exporter."""


class ExportError(RuntimeError):
    """A model that must not be published; the text says what was measured and what was wanted."""
