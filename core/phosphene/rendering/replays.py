"""`replay`: make pictures again from the settings in their file.

The file may be of unknown origin. Nothing that it names is imported and nothing in it is executed: names are looked up in tables,
numbers are checked against limits, and only networks that come with the package are loaded by name.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from phosphene.backend import Network, backend_names
from phosphene.errors import CorruptFile, InvalidParameter, ModelWarning, said
from phosphene.kit.archives import archive_words
from phosphene.kit.checks import a_network, choice
from phosphene.kit.documents import DAMAGE
from phosphene.kit.places import readable_file
from phosphene.loaders import load
from phosphene.loaders.specimens import NAMES
from phosphene.rendering.call import render
from phosphene.rendering.files import picture_words
from phosphene.rendering.result import Renders, joined
from phosphene.rendering.serialization import Run, read_run
from phosphene.rendering.serialization.values import brief

__all__ = ["replay"]

DTYPES = ("float16", "bfloat16", "float32", "float64")


def replay(source: str | Path | Renders, *, network: Network | None = None, backend: str | None = None) -> Renders:
    """Make pictures again, with the same objectives, recipe, seed and batches, on the same network.

    On the same machine, with the same versions, the pictures are equal to the last bit.

    Parameters
    ----------
    source : str, Path or Renders
        A .png or .npz that `Renders.save` wrote, or a result. If it holds only some of the pictures of a call, all of them are made
        again, because they were computed in batches.
    network : Network, optional
        The network that the pictures are of (default: loaded by name, if it comes with the package).
    backend : str, optional
        Backend on which to load a network that comes with the package (default: the one that was used).

    Returns
    -------
    Renders

    Raises
    ------
    CorruptFile
        If the file is damaged or not a result.
    InvalidParameter
        If the settings are not those of a call of `phosphene.render`; if the call used your own functions or given images, which
        no file keeps; if `network` is needed.

    Warns
    -----
    ModelWarning
        If the network's weights are not those of the network that made the pictures, or if it is on another backend, so that
        fingerprints cannot be compared.
    """
    if network is not None:
        a_network(network)
    if backend is not None:
        choice("backend", backend, backend_names())
    if isinstance(source, Renders):
        settings: Any = source.settings
        shown = "settings"
    else:
        place = readable_file(source, "source")
        settings, shown = _settings_of(place), str(place)
    if not isinstance(settings, dict):
        raise CorruptFile(shown, "it does not say how it was made")
    if "run" not in settings:
        raise InvalidParameter(
            "source",
            allowed="pictures that ph.render made, with this version or a later one",
            received=said(shown),
            fix="The settings do not say what was maximised: call ph.render with the same arguments.",
        )
    run = read_run(settings["run"], "run")
    if network is None:
        network = _named(settings, backend)
    elif backend is not None:
        raise InvalidParameter(
            "backend",
            allowed="None if a network is given",
            received=backend,
            fix="Leave backend out: the network has one.",
        )
    _compare(network, settings, shown)
    return _again(network, run, settings)


def _again(network: Network, run: Run, settings: dict[str, Any]) -> Renders:
    if len(set(run.widths)) <= 1:
        return render(network, run.objectives, slots=run.widths[0] if run.widths else run.slots, **run.options)
    # The measured slots differ between batches, so each is rendered by itself. Random draws depend on the target, not on its place.
    given: Any = settings.get("batches")
    batches: list[list[int]] = []
    if _lists(given):
        batches = given
    members = [index for batch in batches for index in batch]
    if sorted(members) != list(range(len(run.objectives))) or len(batches) != len(run.widths):
        raise InvalidParameter(
            "batches",
            allowed="the place of each objective, once",
            received=said("others"),
            fix="The file is damaged: use another copy.",
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
    """Load the network that the settings name, if it comes with the package."""
    name = settings.get("network")
    if not isinstance(name, str) or name not in NAMES:
        raise InvalidParameter(
            "network",
            allowed="the network that the pictures are of",
            received=None,
            fix=f"They are of {str(brief(name))[:100]!r}, and a name in a file is not loaded: give it with network=..., "
            "or --model NAME on the command line.",
        )
    used = choice("backend", brief(settings.get("backend") if backend is None else backend), backend_names())
    return load(name, backend=used, dtype=choice("dtype", brief(settings.get("dtype")), DTYPES))


def _compare(network: Network, settings: dict[str, Any], shown: str) -> None:
    """Warn if the weights are not those of the network that made the pictures, or if they cannot be compared."""
    own, fingerprint = network.fingerprint(), settings.get("fingerprint")
    if fingerprint == own:
        return
    # Fingerprints depend on how a framework stores weights: equal networks of two frameworks have different ones.
    if settings.get("backend") != network.backend.name:
        consequence = (
            "that of another framework, which cannot be compared; with equal weights the pictures agree up to rounding"
        )
    else:
        consequence = "its weights differ, and so will the pictures"
    warnings.warn(
        f"{shown}: the fingerprint of its network is {str(brief(fingerprint))[:40]!r}, that of {network.name} is {own!r}: "
        f"{consequence}.",
        ModelWarning,
        stacklevel=3,
    )


def _settings_of(source: Path) -> Any:
    """The settings in a file, unchecked, read without its pictures."""
    from PIL import Image

    try:
        words = archive_words(source) if source.suffix == ".npz" else picture_words(source)
        return words["settings"]
    except FileNotFoundError:
        raise
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise CorruptFile(str(source), f"not a result of phosphene, or damaged ({str(error)[:200]})") from error
