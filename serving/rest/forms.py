"""Files in requests: the fields of a multipart body, and base64 in JSON.

Starlette's parser over the same library spools each file through temporary files and thread hops,
for bodies that may not fit in memory; these bodies are in memory already.
"""

import base64
import binascii
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form."""

    name: str
    data: bytes
    is_file: bool
    """Whether it came with a file name."""

    def text(self) -> str:
        """``data`` as a line of text; bytes that are not UTF-8 are replaced."""
        return self.data.decode("utf-8", "replace").strip()

    def file(self, hint: str) -> bytes:
        """``data`` as a file.

        Raises:
            InvalidInput: it is the name of one, as ``-F image=seven.png`` without ``@`` sends it;
                ``hint`` ends the text.
        """
        data = self.data
        if (
            not self.is_file
            and data
            and len(data) < 256
            and data.isascii()
            and data.decode().isprintable()
        ):
            raise InvalidInput(
                f"field {self.name!r} holds the text {data.decode()!r}, not a file; {hint}"
            )
        return data


def parse_form(body: bytes, content_type: str, max_fields: int, hint: str) -> list[FormField]:
    """The fields of a multipart/form-data body (RFC 7578), in their order.

    Args:
        body: the whole body.
        content_type: the header, which names the boundary.
        max_fields: that it may have.
        hint: ends the text of every error.

    Raises:
        InvalidInput: malformed, cut off, or too many fields.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidInput(f"multipart/form-data without a boundary in its Content-Type; {hint}")
    form = _Form(max_fields, hint)
    try:
        form.parse(body, boundary)
    except FormParserError as error:
        raise InvalidInput(f"malformed multipart body: {error}; {hint}") from error
    if not form.complete:
        raise InvalidInput(f"multipart body ends before its closing boundary; {hint}")
    return [_field(part) for part in form.parts]


def decode_base64(text: object, where: str) -> bytes:
    """Decode standard base64 (RFC 4648 section 4) or a base64 ``data:`` URL (RFC 2397).

    Raises:
        InvalidInput: it is neither; the text begins with ``where``.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"{where}: expected a base64 string, got {type(text).__name__}")
    if text.startswith("data:"):
        header, comma, text = text.partition(",")
        if not comma or not header.endswith(";base64"):
            raise InvalidInput(f"{where}: a data: URL must read data:image/TYPE;base64,DATA")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{where}: not base64 (RFC 4648): {error}") from error


@dataclass(slots=True)
class _Part:
    """One field while it is read."""

    disposition: bytes = b""
    chunks: list[bytes] = field(default_factory=list)


def _field(part: _Part) -> FormField:
    options = parse_options_header(part.disposition)[1]
    name = options.get(b"name", b"").decode("utf-8", "replace")
    return FormField(name, b"".join(part.chunks), b"filename" in options)


class _Form:
    """Collects the fields that python-multipart's parser finds in a whole body."""

    def __init__(self, max_parts: int, hint: str) -> None:
        self.parts: list[_Part] = []
        self.complete = False
        self._max_parts = max_parts
        self._hint = hint
        self._header = b""
        self._value = b""

    def parse(self, body: bytes, boundary: bytes) -> None:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_to_header,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_part_data": self._add_data,
                "on_end": self._end,
            },
        )
        parser.write(body)
        parser.finalize()

    def _begin_part(self) -> None:
        if len(self.parts) == self._max_parts:
            raise InvalidInput(f"more than {self._max_parts} form fields; {self._hint}")
        self.parts.append(_Part())

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self.parts[-1].disposition = self._value
        self._header = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].chunks.append(data[start:end])

    def _end(self) -> None:
        self.complete = True
