"""`replay`: a picture made again from what its file says of how it was made.

The file may be a stranger's. Nothing it names is imported, and nothing it holds is run: its words are looked up in tables, its
numbers checked against limits, and of networks only those that come with the package are loaded by the name in it.
"""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from phosphene.backend import Network
from phosphene.declaring import Run, read_run
from phosphene.declaring.values import brief
from phosphene.errors import CorruptFile, InvalidParameter, ModelWarning, nearest, said
from phosphene.files import KEY
from phosphene.loaders import load
from phosphene.loaders.specimens import NAMES
from phosphene.rendering import render
from phosphene.results import Renders
from phosphene.results.renders import joined

__all__ = ["replay"]

BACKENDS = ("torch", "jax")
DTYPES = ("float16", "bfloat16", "float32", "float64")
LONGEST_METADATA = 1 << 26
"""Bytes of an archive's metadata; those of a PNG are limited by its reader."""


def replay(source: str | Path | Renders, *, network: Network | None = None, backend: str | None = None) -> Renders:
    """Make pictures again: the same objectives, recipe, seed and batches, on the same network.

    On the same machine, with the same versions, the pictures are the same to the last bit.

    Parameters
    ----------
    source : str, Path or Renders
        A .png or .npz that `Renders.save` wrote, or a result. All pictures of the call are made again, whichever are in it:
        they were computed in batches.
    network : Network, optional
        The network they were made of; needed unless it is one that comes with the package. A name in a file loads nothing else.
    backend : str, optional
        "torch" or "jax" for a network that comes with the package; the one that was used when absent.

    Returns
    -------
    Renders

    Raises
    ------
    CorruptFile
        For a file that is no result, or a damaged one.
    InvalidParameter
        For settings that `phosphene.render` would not have written or that are beyond all limits; for pictures that cannot be
        made again from a file: of your own functions, from images that were given; without a network where one is needed.

    Warns
    -----
    ModelWarning
        When the network's weights are not those of the network that made the pictures, or are another framework's, whose
        fingerprint cannot be compared.
    """
    if isinstance(source, Renders):
        settings: Any = source.settings
        shown = "settings"
    else:
        settings, shown = _settings_of(Path(source)), str(source)
    if not isinstance(settings, dict):
        raise CorruptFile(shown, "it does not say how it was made")
    if "run" not in settings:
        raise InvalidParameter(
            "source", allowed="pictures that ph.render made, with this version or a later one", received=said(shown),
            fix="This file does not say what was maximised in a form that can be read back.",
        )  # fmt: skip
    run = read_run(settings["run"], "run")
    if network is None:
        network = _named(settings, backend)
    elif backend is not None:
        raise InvalidParameter("backend", allowed="None beside a network", received=backend, fix="The network has one.")
    _compare(network, settings, shown)
    return _again(network, run, settings)


def _again(network: Network, run: Run, settings: dict[str, Any]) -> Renders:
    if len(set(run.widths)) <= 1:
        return render(network, run.objectives, slots=run.widths[0] if run.widths else run.slots, **run.options)
    # Measured, and another number of slots a batch: each batch by itself. Targets are keyed by what they are, not by their place.
    given: Any = settings.get("batches")
    batches: list[list[int]] = []
    if _lists(given):
        batches = given
    members = [index for batch in batches for index in batch]
    if sorted(members) != list(range(len(run.objectives))) or len(batches) != len(run.widths):
        raise InvalidParameter(
            "batches", allowed="the place of each objective, once", received=said("others"), fix="The file is damaged."
        )
    parts = [
        render(network, [run.objectives[index] for index in batch], slots=width, **run.options)
        for batch, width in zip(batches, run.widths, strict=True)
    ]
    whole = joined(parts).rows(np.argsort(members).tolist())
    return replace(whole, settings={**parts[0].settings, **{key: settings[key] for key in ("run", "batches")}})


def _lists(batches: Any) -> bool:
    return isinstance(batches, list) and all(
        isinstance(batch, list) and all(type(index) is int for index in batch) for batch in batches
    )


def _named(settings: dict[str, Any], backend: str | None) -> Network:
    """The network of that name, if it comes with the package."""
    name = settings.get("network")
    if not isinstance(name, str) or name not in NAMES:
        raise InvalidParameter(
            "network", allowed="the network that the pictures are of", received=None,
            fix=f"They are of {str(brief(name))[:100]!r}, and a name in a file is not loaded: give it with network=..., "
            "or --model NAME on the command line.",
        )  # fmt: skip
    used = _one_of("backend", settings.get("backend") if backend is None else backend, BACKENDS)
    return load(name, backend=used, dtype=_one_of("dtype", settings.get("dtype"), DTYPES))


def _one_of(key: str, value: Any, known: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in known:
        return value
    near = nearest(value[:100], known) if isinstance(value, str) else ""
    raise InvalidParameter(
        key, allowed=" or ".join(map(repr, known)), received=brief(value), fix=f"Did you mean {near}?" if near else ""
    )


def _compare(network: Network, settings: dict[str, Any], shown: str) -> None:
    """Say it where the weights are not those that the pictures were made of, or where that cannot be known."""
    own, fingerprint = network.fingerprint(), settings.get("fingerprint")
    if fingerprint == own:
        return
    # Fingerprints are of weights as a framework lays them out: equal networks of two frameworks have unlike ones.
    if settings.get("backend") != network.backend.name:
        consequence = (
            "another framework's, so they cannot be compared; of the same weights the pictures agree up to rounding"
        )
    else:
        consequence = "its weights are others, and so will the pictures be"
    warnings.warn(
        f"{shown} was made of a network with the fingerprint {str(brief(fingerprint))[:40]!r}, this one "
        f"({network.name}) has {own!r}: {consequence}.",
        ModelWarning,
        stacklevel=3,
    )


def _settings_of(source: Path) -> Any:
    """The settings in a file, read without its pictures; nothing in it is believed yet."""
    try:
        text = _archive_text(source) if source.suffix == ".npz" else _picture_text(source)
        metadata = json.loads(text)
        return metadata["settings"]
    except FileNotFoundError:
        raise
    # What a file made to do harm brings out of its readers, at most; our own code is not among what is tried here.
    except (
        *(OSError, EOFError, KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError, MemoryError),
        *(RecursionError, SyntaxError, NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile, RuntimeError),
    ) as error:
        raise CorruptFile(str(source), f"not a result of phosphene, or damaged ({str(error)[:200]})") from error


def _archive_text(source: Path) -> str:
    with zipfile.ZipFile(source) as archive:
        if archive.getinfo("metadata.npy").file_size > LONGEST_METADATA:
            raise ValueError("its metadata are too long")
        with archive.open("metadata.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, _, dtype = read(stream)
            if shape != () or dtype.kind != "U":
                raise ValueError("its metadata are no text")
            return str(np.frombuffer(stream.read(dtype.itemsize), dtype)[0])


def _picture_text(source: Path) -> str:
    from PIL import Image

    try:
        with Image.open(source, formats=["PNG"]) as opened:
            text = opened.info.get(KEY)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    if not isinstance(text, str):
        raise ValueError("this picture carries no settings")
    return text
