"""The decoders of compressed DICOM frames, with a check before each.

Compressed streams carry a header of their own, and the decoders believe it: a few bytes make them fill all memory,
or crash (GDCM) and take the whole process along. So a stream is looked through first, and only one of the size that
the DICOM header announces gets to its decoder.

The module is a plug-in of pydicom's, which asks for `is_available`, `DECODER_DEPENDENCIES` and the functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from io import BytesIO

from PIL import Image
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

_SOI = b"\xff\xd8"
_SOF3, _DHT, _EOI, _SOS, _DQT, _DRI, _COM, _SOF55 = 0xC3, 0xC4, 0xD9, 0xDA, 0xDB, 0xDD, 0xFE, 0xF7
_IGNORED = {_DQT, _DRI, _COM, *range(0xE0, 0xF0)}  # and the APPn
_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]", re.DOTALL)  # a marker that is no restart
_TABLES = range(4)
_CATEGORIES = 17  # T.81 H.1.2.2: differences have 0 to 16 bits


def pillow(src: bytes, runner: DecodeRunner) -> bytes | bytearray:
    """Decodes JPEG and JPEG 2000: a frame's stream, to the samples' bytes.

    GDCM, which pydicom prefers, crashes on corrupt JPEG 2000, and takes corrupt JPEG for sound.

    Raises:
        ValueError: If the stream is of another size than the DICOM header says.
        OSError: If it is corrupt.
    """
    with Image.open(BytesIO(src), formats=("JPEG", "JPEG2000")) as image:
        _demand(image.size == (runner.columns, runner.rows), "another size")
    return _delegate("pillow")(src, runner)


def pyjpegls(src: bytes, runner: DecodeRunner) -> bytes | bytearray:
    """Decodes JPEG-LS (ITU-T T.87); errors as for `pillow`."""
    # Only as far as the frame header: JPEG-LS marks the end of its scans in another way.
    size = next((body[1:5] for marker, body in _segments(src) if marker == _SOF55), b"")
    _demand(size == runner.rows.to_bytes(2) + runner.columns.to_bytes(2), "another size")
    return _delegate("pyjpegls")(src, runner)


def gdcm(src: bytes, runner: DecodeRunner) -> bytes | bytearray:
    """Decodes JPEG Lossless (ITU-T T.81, process 14), the commonest compression of archives.

    No other decoder has a free licence. It crashes on headers that break the standard: those raise ValueError, as does
    a stream that is cut off or not what the DICOM header says.
    """
    components, tables, scanned = b"", set[int](), b""
    for marker, body in _segments(src):
        if marker == _SOF3:
            _demand(not components, "two frame headers")
            components = _frame_header(body, runner)
        elif marker == _DHT:
            tables |= _huffman_tables(body)
        elif marker == _SOS:
            scanned += _scan_header(body, components, tables)
        else:
            _demand(marker in _IGNORED, "a marker that is not of JPEG Lossless")
            _demand(marker != _DRI or len(body) == 2, "a wrong restart interval")
    _demand(bool(components) and sorted(scanned) == sorted(components), "not all components are coded")
    return _delegate("gdcm")(src, runner)


_DECODERS = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",
    uid.JPEG2000: "pillow",
    uid.JPEG2000Lossless: "pillow",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
}
DECODER_DEPENDENCIES = {syntax: (name,) for syntax, name in _DECODERS.items()}


def decoder_name(syntax: uid.UID) -> str | None:
    """The name of the function here that decodes a transfer syntax; None where pydicom decodes it itself."""
    return _DECODERS.get(syntax)


def is_available(syntax: str) -> bool:
    """Whether the library that decodes a transfer syntax is installed."""
    name = _DECODERS.get(uid.UID(syntax))
    return name is not None and import_module(f"pydicom.pixels.decoders.{name}").is_available(syntax)


def _delegate(name: str) -> Callable[[bytes, DecodeRunner], bytes | bytearray]:
    decoder = import_module(f"pydicom.pixels.decoders.{name}")
    decode: Callable[[bytes, DecodeRunner], bytes | bytearray] = decoder._decode_frame
    return decode


def _segments(src: bytes) -> Iterator[tuple[int, bytes]]:
    """The marker segments of a JPEG stream from its start to its end (T.81 B.1.1), each with what it holds."""
    _demand(src[:2] == _SOI, "no start of image")
    at = 2
    while True:
        while src[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        marker = int.from_bytes(src[at : at + 2]) - 0xFF00
        if marker == _EOI:
            return
        length = int.from_bytes(src[at + 2 : at + 4])
        body = src[at + 4 : at + 2 + length]
        _demand(marker > 0 and length >= 2 and len(body) == length - 2, "a segment is cut off")
        yield marker, body
        at += 2 + length
        if marker == _SOS:
            end = _AFTER_SCAN.search(src, at)
            if end is None:
                raise ValueError("not a sound JPEG stream: no end of image")
            at = end.end() - 2


def _frame_header(body: bytes, runner: DecodeRunner) -> bytes:
    """Checks the frame header (T.81 B.2.2), and returns the components' identifiers."""
    samples, allocated = runner.samples_per_pixel, runner.bits_allocated
    _demand(len(body) == 6 + 3 * samples and body[5] == samples, "another number of components")
    precision, height, width = body[0], int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
    _demand((height, width) == (runner.rows, runner.columns), "another size")
    _demand(max(2, allocated - 7) <= precision <= min(16, allocated), "another precision")
    components, sampling = body[6::3], body[7::3]
    _demand(len(set(components)) == samples and set(sampling) == {0x11}, "wrong components")
    return components


def _huffman_tables(body: bytes) -> set[int]:
    """Checks Huffman tables (T.81 B.2.4.2), and returns their numbers."""
    tables = set()
    while body:
        counts, values = body[1:17], body[17 : 17 + sum(body[1:17])]
        _demand(body[0] in _TABLES and len(counts) == 16, "a wrong Huffman table")
        _demand(0 < sum(counts) == len(values) <= _CATEGORIES and max(values) < _CATEGORIES, "a wrong Huffman table")
        # No more codes than their lengths leave room for.
        _demand(sum(n << (15 - i) for i, n in enumerate(counts)) <= 1 << 16, "too many Huffman codes")
        tables.add(body[0])
        body = body[17 + len(values) :]
    return tables


def _scan_header(body: bytes, components: bytes, tables: set[int]) -> bytes:
    """Checks a scan header (T.81 B.2.3), and returns the identifiers of the components it codes."""
    count = body[0] if body else 0
    _demand(count > 0 and len(body) == 4 + 2 * count, "a wrong scan header")
    coded, used = body[1 : 1 + 2 * count : 2], body[2 : 2 + 2 * count : 2]
    _demand(set(coded) <= set(components), "a scan of other components")
    _demand(all(table & 15 == 0 and table >> 4 in tables for table in used), "a scan without its Huffman table")
    predictor, end, approximation = body[-3:]
    _demand(1 <= predictor <= 7 and end == 0 and approximation <= 15, "a wrong predictor")
    return coded


def _demand(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(f"not a sound JPEG stream: {problem}")
