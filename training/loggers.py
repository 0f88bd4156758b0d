"""Where measurements go: metrics.jsonl, TensorBoard, a progress bar."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One measurement."""

    step: int
    """Updates done."""
    epoch: float
    """Passes over the training split done, with the fraction."""
    split: Literal["train", "validation"]
    """train: mean over the steps since the last record; validation: over the whole split."""
    elapsed_s: float
    """Seconds of training so far, all sessions of a resumed run together."""
    metrics: Mapping[str, float]
    """Values by name."""


class Logger(Protocol):
    """Takes measurements as they are made."""

    def write(self, record: Record) -> None:
        """Take one measurement."""
        ...

    def advance(self, step: int) -> None:
        """Learn that ``step`` updates are done."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


class JsonlLogger:
    """Appends each record to a file as one line of JSON.

    ``step`` is where the run goes on: records after it, which an interrupted run wrote past its
    last checkpoint, are dropped.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = [record for record in read_records(path) if record.step <= step]
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(_line(record) for record in kept)
        self._stream = path.open("a", encoding="utf-8")

    def write(self, record: Record) -> None:
        """Append ``record``, at once on the disk for whoever follows the file."""
        self._stream.write(_line(record))
        self._stream.flush()

    def advance(self, step: int) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class TensorBoardLogger:
    """Writes each metric as the scalar ``<split>/<name>``, from ``step`` on."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(self, record: Record) -> None:
        """Add the record's metrics."""
        for name, value in record.metrics.items():
            self._writer.add_scalar(f"{record.split}/{name}", value, record.step)

    def advance(self, step: int) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Write out what is buffered."""
        self._writer.close()


class ProgressLogger:
    """A bar on standard error with the rate in rows or steps a second and the time left."""

    def __init__(self, total_steps: int, step: int, rows_per_step: int) -> None:
        scale = rows_per_step or 1
        self._scale = scale
        self._bar: tqdm[Any] = tqdm(
            total=total_steps * scale,
            initial=step * scale,
            unit="row" if rows_per_step else "step",
            unit_scale=True,
            dynamic_ncols=True,
        )
        self._shown: dict[str, str] = {}

    def write(self, record: Record) -> None:
        """Show the record's values beside the bar."""
        prefix = "val_" if record.split == "validation" else ""
        self._shown |= {f"{prefix}{name}": f"{value:.4g}" for name, value in record.metrics.items()}
        self._bar.set_postfix(self._shown, refresh=False)

    def advance(self, step: int) -> None:
        """Move the bar to ``step``."""
        self._bar.update(step * self._scale - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


class Loggers:
    """Several loggers as one; a context manager that closes them."""

    def __init__(self, *loggers: Logger) -> None:
        self._loggers = loggers

    def write(self, record: Record) -> None:
        """Pass ``record`` on to each."""
        for logger in self._loggers:
            logger.write(record)

    def advance(self, step: int) -> None:
        """Pass ``step`` on to each."""
        for logger in self._loggers:
            logger.advance(step)

    def close(self) -> None:
        """Close each."""
        for logger in self._loggers:
            logger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_records(path: Path) -> Iterator[Record]:
    """The records of a metrics.jsonl; none if there is no such file.

    A last line cut short by a crash is left out; a bad line elsewhere raises ValueError.
    """
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield Record(**json.loads(line))


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"
