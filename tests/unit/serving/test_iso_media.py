import struct

import pytest

from serving.errors import InvalidInput, PayloadTooLarge
from serving.iso_media import check_boxes, is_iso_media


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def sizes(size: int, count: int) -> bytes:
    return box(b"stsz", struct.pack(">III", 0, size, count))


@pytest.mark.parametrize(
    ("start", "known"),
    [
        (box(b"ftyp", b"isom"), True),
        (box(b"ftyp", b"qt  "), True),
        (box(b"moov"), True),
        (box(b"ftyp", b"heic"), False),
        (box(b"ftyp", b"avif"), False),
        (b"RIFF0000WEBP", False),
        (b"", False),
    ],
)
def test_iso_media_is_known_by_its_first_box(start: bytes, known: bool) -> None:
    assert is_iso_media(start) is known


def test_check_boxes_takes_a_whole_file_with_remarks_at_its_end() -> None:
    check_boxes(box(b"ftyp") + box(b"moov") + box(b"mdat", b"12") + b"\0\0\x0f\0SEFTrest")


def test_check_boxes_takes_boxes_of_64_bit_and_of_open_length() -> None:
    large = struct.pack(">I4sQ", 1, b"mdat", 20) + b"1234"
    check_boxes(box(b"moov") + large + struct.pack(">I4s", 0, b"mdat") + b"12345")


@pytest.mark.parametrize("kind", [b"moov", b"moof", b"mdat"])
def test_check_boxes_refuses_a_box_without_its_end(kind: bytes) -> None:
    data = box(b"moov") + box(kind, bytes(20))
    with pytest.raises(InvalidInput, match=f"box '{kind.decode()}' ends at 36"):
        check_boxes(data[:-1])


def test_check_boxes_refuses_a_file_without_movie_header() -> None:
    with pytest.raises(InvalidInput, match="no movie header"):
        check_boxes(box(b"ftyp") + box(b"mdat", b"12"))


@pytest.mark.parametrize("hidden", [box(b"moov"), box(b"udta"), b"\0\0\0\x03badd"])
def test_check_boxes_refuses_many_samples_wherever_they_are_declared(hidden: bytes) -> None:
    table = sizes(0, 1_000_001)
    data = box(b"moov") + (box(hidden[4:], table) if hidden[3] == 8 else hidden + table)
    with pytest.raises(PayloadTooLarge, match="declares 1000001 samples"):
        check_boxes(data)


def test_check_boxes_takes_single_samples_of_sound_that_are_there() -> None:
    check_boxes(box(b"moov", sizes(1, 2_000_000)) + box(b"mdat", bytes(2_000_000)))


def test_check_boxes_refuses_single_samples_of_sound_that_are_not_there() -> None:
    with pytest.raises(PayloadTooLarge, match="declares 2000000 samples"):
        check_boxes(box(b"moov", sizes(1, 2_000_000)) + box(b"mdat", bytes(1000)))


def test_check_boxes_does_not_look_into_the_data_of_the_tracks() -> None:
    check_boxes(box(b"moov") + box(b"mdat", sizes(0, 2_000_000)))
