"""What is measured of generated pictures, beside what is measured of every model."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ImageFamilies:
    """The metrics of all models that make pictures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register on ``registry``."""
        version = ["model", "version"]
        self._generated = Counter(
            "quartet_images_generated", "Pictures made.", version, registry=registry
        )
        self._in_flight = Gauge(
            "quartet_images_in_flight",
            "Pictures that are being made or wait for their reader.",
            version,
            registry=registry,
        )

    def for_model(self, model: str, version: str) -> "ImageMetrics":
        """The metrics of one model version; every row exists from now on, with value 0."""
        return ImageMetrics(
            self._generated.labels(model, version), self._in_flight.labels(model, version)
        )


class ImageMetrics:
    """The metrics of one model version."""

    def __init__(self, generated: Counter, in_flight: Gauge) -> None:
        self._generated = generated
        self._in_flight = in_flight

    def generated(self, pictures: int) -> None:
        """So many were made, whether or not anybody reads them."""
        self._generated.inc(pictures)

    def in_flight(self, change: int) -> None:
        """So many more are being made or wait for their reader; fewer if negative."""
        self._in_flight.inc(change)
