"""Checks that the blocks of a ``config.pbtxt`` share; each error names file and field."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from quartet.config import ConfigError
from serving.pb.inference import model_config_pb2 as pb
from serving.types import DATATYPES, Datatype

DATATYPE_OF: Final[Mapping[int, Datatype]] = {
    value: DATATYPES["BYTES" if name == "TYPE_STRING" else name.removeprefix("TYPE_")]
    for name, value in pb.DataType.items()
    if name != "TYPE_INVALID"
}
"""``data_type`` of a file -> datatype."""
DATA_TYPE_OF: Final[Mapping[Datatype, Any]] = {
    datatype: value for value, datatype in DATATYPE_OF.items()
}
"""Datatype -> ``data_type`` of a file; the enum's values are plain integers at run time."""


class FieldChecks:
    """Reads single fields of one file. Every method raises ConfigError."""

    def __init__(self, path: Path) -> None:
        """``path`` is the file; its folder is the model's."""
        self.path = path

    def fail(self, field: str, text: str) -> NoReturn:
        """Refuse the file for what ``field`` says."""
        raise ConfigError(f"{self.path}: {field}: {text}")

    def datatype(self, field: str, value: int) -> Datatype:
        """The type of the protocol."""
        if value not in DATATYPE_OF:
            self.fail(field, "must be given, for instance TYPE_FP32")
        return DATATYPE_OF[value]

    def dims(self, field: str, values: Iterable[int]) -> tuple[int, ...]:
        """Sizes of a tensor that must be given, -1 for any."""
        dims = tuple(values)
        if not dims:
            self.fail(field, "must be given; sizes >= 1, or -1 for any")
        if any(size < 1 and size != -1 for size in dims):
            self.fail(field, f"sizes must be >= 1, or -1 for any, got {list(dims)}")
        return dims

    def check_unique(self, field: str, values: Sequence[object]) -> None:
        """Refuse values that are given twice."""
        repeated = sorted({str(value) for value in values if values.count(value) > 1})
        if repeated:
            self.fail(field, f"must not repeat {', '.join(repeated)}")

    def file_name(self, field: str, name: str) -> str:
        """A name without folders; may be empty."""
        if name and (Path(name).name != name or name == ".."):
            self.fail(field, f"must be a file name without folders, got '{name}'")
        return name

    def existing(self, field: str, name: str, folder: Path) -> str:
        """The name of a file in ``folder``; may be empty."""
        if self.file_name(field, name) and not (folder / name).is_file():
            self.fail(field, f"no file '{name}' in {folder}")
        return name
