"""The contents of image files of many kinds, with the truth of what they show."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

ROWS, COLUMNS = 16, 32
RAMP = np.linspace(0, 1, ROWS * COLUMNS).reshape(ROWS, COLUMNS, 1)
COLOURS = np.concatenate([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)
OPAQUE = RAMP[::-1]
ON_WHITE = RAMP * OPAQUE + 1 - OPAQUE
COLOURS_ON_WHITE = COLOURS * OPAQUE + 1 - OPAQUE
LUMA = np.array([[0.299], [0.587], [0.114]])


def whole(values: np.ndarray, bits: int) -> np.ndarray:
    """Values in [0, 1] as unsigned integers of so many bits."""
    return np.round(values * ((1 << bits) - 1)).astype(
        np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    )


def floats(pixels: np.ndarray) -> np.ndarray:
    assert pixels.dtype in (np.uint8, np.float32)
    return pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels


def saved(picture: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png(values: np.ndarray, colour: int, bits: int = 16, extra: bytes = b"") -> bytes:
    """A PNG written by hand: Pillow writes no colours of 16 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = values.astype(">u2" if bits == 16 else np.uint8).reshape(len(values), -1)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def transparent_key(*values: int) -> bytes:
    data = b"".join(struct.pack(">H", value) for value in values)
    return struct.pack(">I", len(data)) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))


def tiff(values: bytes, bits: int, order: str = "<", *, sign: int = 1, zero: int = 1, channels: int = 1) -> bytes:
    """A TIFF written by hand, in either order of bytes: one strip of ROWS x COLUMNS values."""
    entries = [(256, COLUMNS), (257, ROWS), (258, bits), (259, 1), (262, zero), (273, 0), (277, channels), (278, ROWS)]
    entries += [(279, len(values)), (339, sign)]
    start = 8 + 2 + 12 * len(entries) + 4
    directory = struct.pack(order + "H", len(entries))
    for tag, value in entries:
        value = start if tag == 273 else value
        directory += struct.pack(order + "HHI", tag, 4 if tag in (273, 279) else 3, 1)
        directory += struct.pack(
            order + ("I" if tag in (273, 279) else "HH"), *([value] if tag in (273, 279) else [value, 0])
        )
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + directory + bytes(4) + values


def packed(values: np.ndarray) -> bytes:
    """Two values of 12 bits in three bytes."""
    first, second = values.reshape(-1, 2).T.astype(np.uint32)
    together = first << 12 | second
    return np.stack([together >> 16, together >> 8, together], axis=-1).astype(np.uint8).tobytes()


def by_tifffile(values: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pytest.importorskip("tifffile").imwrite(buffer, values, **options)
    return buffer.getvalue()


def signed(bits: int) -> np.ndarray:
    return np.round(RAMP * ((1 << (bits - 1)) - 1))


RAMPS: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "8 bits": (lambda: saved(Image.fromarray(whole(RAMP[..., 0], 8)), "PNG"), RAMP),
    "16 bits, PNG": (lambda: saved(Image.fromarray(whole(RAMP[..., 0], 16)), "PNG"), RAMP),
    "16 bits, PGM": (lambda: b"P5 32 16 65535\n" + whole(RAMP, 16).astype(">u2").tobytes(), RAMP),
    "12 bits, PGM": (lambda: b"P5 32 16 4095\n" + whole(RAMP, 12).astype(">u2").tobytes(), RAMP),
    "12 bits, TIFF": (lambda: tiff(packed(whole(RAMP, 12)), 12), RAMP),
    "white is 0": (lambda: tiff(whole(1 - RAMP, 16).astype("<u2").tobytes(), 16, zero=0), RAMP),
    "white is 0, 8 bits": (lambda: tiff(whole(1 - RAMP, 8).tobytes(), 8, zero=0), RAMP),
    "floats, PFM": (lambda: b"Pf\n32 16\n-1.0\n" + RAMP[::-1].astype("<f4").tobytes(), RAMP),
    "colours of 16 bits, PNG": (lambda: png(whole(COLOURS, 16), 2), COLOURS),
    "colours of 12 bits, PPM": (lambda: b"P6 32 16 4095\n" + whole(COLOURS, 12).astype(">u2").tobytes(), COLOURS),
    "LA of 16 bits": (lambda: png(whole(np.concatenate([RAMP, OPAQUE], -1), 16), 4), ON_WHITE),
    "RGBA of 16 bits": (lambda: png(whole(np.concatenate([COLOURS, OPAQUE], -1), 16), 6), COLOURS_ON_WHITE),
    "CMYK": (lambda: saved(Image.fromarray(whole(COLOURS, 8)).convert("CMYK"), "TIFF"), COLOURS),
    "colours of 16 bits, TIFF": (lambda: by_tifffile(whole(COLOURS, 16), photometric="rgb"), COLOURS),
    "colours apart": (
        lambda: by_tifffile(np.moveaxis(whole(COLOURS, 16), -1, 0), photometric="rgb", planarconfig="separate"),
        COLOURS,
    ),
    "colours as floats": (lambda: by_tifffile(COLOURS.astype(np.float32), photometric="rgb"), COLOURS),
    "float64": (lambda: by_tifffile(RAMP[..., 0], photometric="minisblack"), RAMP),
    "float16": (lambda: by_tifffile(RAMP[..., 0].astype(np.float16), photometric="minisblack"), RAMP),
    "RGBA as floats": (
        lambda: by_tifffile(
            np.concatenate([COLOURS, OPAQUE], -1).astype(np.float32), photometric="rgb", extrasamples=["unassalpha"]
        ),
        COLOURS_ON_WHITE,
    ),
    "RGBA of 16 bits, multiplied": (
        lambda: by_tifffile(
            whole(np.concatenate([COLOURS * OPAQUE, OPAQUE], -1), 16), photometric="rgb", extrasamples=["assocalpha"]
        ),
        COLOURS_ON_WHITE,
    ),
    "LA of 16 bits, TIFF": (
        lambda: by_tifffile(
            whole(np.concatenate([RAMP, OPAQUE], -1), 16), photometric="minisblack", extrasamples=["unassalpha"]
        ),
        ON_WHITE,
    ),
    "BigTIFF": (lambda: by_tifffile(whole(RAMP[..., 0], 16), photometric="minisblack", bigtiff=True), RAMP),
    "signed 8 bits": (
        lambda: by_tifffile(signed(8)[..., 0].astype(np.int8), photometric="minisblack"),
        signed(8) / 127,
    ),
}
for order, ending in (("<", "little"), (">", "big")):
    for bits, kind in ((16, "u2"), (32, "u4")):
        RAMPS[f"{bits} bits, TIFF, {ending}"] = (
            lambda order=order, bits=bits, kind=kind: tiff(
                whole(RAMP, bits).astype(order + kind).tobytes(), bits, order
            ),
            RAMP,
        )
        RAMPS[f"signed {bits} bits, TIFF, {ending}"] = (
            lambda order=order, bits=bits, kind=kind: tiff(
                signed(bits).astype(order + kind.replace("u", "i")).tobytes(), bits, order, sign=2
            ),
            RAMP,
        )
    RAMPS[f"floats, TIFF, {ending}"] = (
        lambda order=order: tiff(RAMP.astype(order + "f4").tobytes(), 32, order, sign=3),
        RAMP,
    )


CONTENT = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
WRITTEN = {
    "JPEG": "x.jpg",
    "PNG": "x.png",
    "GIF": "x.gif",
    "BMP": "x.bmp",
    "TIFF": "x.tif",
    "WEBP": "x.webp",
    "PPM": "x.ppm",
}
if features.check("avif"):
    WRITTEN["AVIF"] = "x.avif"
