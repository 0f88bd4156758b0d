"""Reads the server's counters from ``/metrics``."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from quartet.kit.connection import Address, fetch
from quartet.kit.errors import KitError


@dataclass(frozen=True, slots=True)
class Scrape:
    """All samples of one moment."""

    samples: Mapping[str, tuple[Sample, ...]]
    """By name."""

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples ``name`` that carry ``labels``; 0 where there are none yet."""
        found = self.samples.get(name, ())
        return sum(s.value for s in found if labels.items() <= s.labels.items())

    def value(self, name: str, **labels: str) -> float:
        """As ``total``. Raises KitError where the server does not export ``name`` at all."""
        if name not in self.samples:
            raise KitError(
                f"the server exports no metric {name!r}: expected a Quartet server of the same "
                "version as this command"
            )
        return self.total(name, **labels)

    def quantile_since(self, before: "Scrape", name: str, q: float, **labels: str) -> float | None:
        """The bound of the histogram ``name`` that a share ``q`` of what came since keeps.

        None: nothing came, or the bound is infinite.
        """
        counts = {
            bound: self.total(f"{name}_bucket", le=bound, **labels)
            - before.total(f"{name}_bucket", le=bound, **labels)
            for bound in {s.labels["le"] for s in self.samples.get(f"{name}_bucket", ())}
        }
        wanted = q * counts.get("+Inf", 0.0)
        kept = [float(b) for b, count in counts.items() if b != "+Inf" and 0 < wanted <= count]
        return min(kept, default=None)

    def bounds(self, name: str) -> tuple[float, ...]:
        """Upper bounds of the histogram ``name``, ascending, without infinity."""
        found = {s.labels["le"] for s in self.samples.get(f"{name}_bucket", ())} - {"+Inf"}
        return tuple(sorted(map(float, found)))


async def scrape(address: Address) -> Scrape:
    """Read the server's metrics now. Raises KitError where there are none."""
    answer = await fetch(address, "/metrics")
    if answer.status != 200:
        raise KitError(f"GET {address.url('/metrics')}: {answer.error}")
    samples: dict[str, list[Sample]] = {}
    try:
        for family in text_string_to_metric_families(answer.body.decode()):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append(sample)
    except ValueError as error:
        raise KitError(f"GET {address.url('/metrics')}: no Prometheus text: {error}") from error
    return Scrape({name: tuple(found) for name, found in samples.items()})
