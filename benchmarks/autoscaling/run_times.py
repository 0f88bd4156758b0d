"""How long runs of each batch size took, as the server counts them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.autoscaling.service import Service
from benchmarks.serving.processes import get

PARTS = ("compute_input", "compute_infer", "compute_output")
NS = 1e-9


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Runs and their seconds, by rows."""

    totals: dict[int, tuple[int, float]]

    @classmethod
    def read(cls, ports: Sequence[int], model: str) -> "RunTimes":
        """Of all servers together, up to now (``/v2/models/{m}/stats``, ``batch_stats``)."""
        totals: dict[int, tuple[int, float]] = {}
        for port in ports:
            document = json.loads(get(port, f"/v2/models/{model}/stats")[1])
            for size in document["model_stats"][0]["batch_stats"]:
                runs, seconds = totals.get(int(size["batch_size"]), (0, 0.0))
                seconds += sum(int(size[part]["ns"]) for part in PARTS) * NS
                totals[int(size["batch_size"])] = (
                    runs + int(size["compute_infer"]["count"]),
                    seconds,
                )
        return cls(totals)

    def since(self, earlier: "RunTimes") -> "RunTimes":
        """What came after ``earlier``."""
        return RunTimes(
            {
                rows: (
                    runs - earlier.totals.get(rows, (0, 0.0))[0],
                    seconds - earlier.totals.get(rows, (0, 0.0))[1],
                )
                for rows, (runs, seconds) in self.totals.items()
            }
        )

    def as_curve(self, service: Service) -> dict[str, list[float]]:
        """``sizes`` and ``run_s`` of a Service; sizes that hardly occurred are left out.

        Beyond the sizes that were seen, the curve goes on in proportion to the measured one.
        """
        enough = max(10, sum(runs for runs, _ in self.totals.values()) // 100)
        seen = {
            rows // service.request_rows: seconds / runs
            for rows, (runs, seconds) in sorted(self.totals.items())
            if runs >= enough
        }
        curve = service.curve()
        for end, nearest in ((1, min(seen)), (service.max_batch, max(seen))):
            seen.setdefault(end, float(seen[nearest] * curve[end] / curve[nearest]))
        sizes = sorted(seen)
        return {"sizes": [float(size) for size in sizes], "run_s": [seen[size] for size in sizes]}
