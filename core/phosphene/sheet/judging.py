"""Trust cards of the pictures of a folder, kept beside them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.ascent import Progress
from phosphene.backend import Network
from phosphene.objectives import channel
from phosphene.results import Renders, TrustCard
from phosphene.trust import assess
from phosphene.trust.verdict import THRESHOLDS
from phosphene.writing import write_whole

__all__ = ["cards_of"]

log = logging.getLogger("phosphene.sheet")


def cards_of(
    network: Network,
    folder: Path,
    runs: Sequence[Renders],
    identity: Mapping[str, Any],
    images: NDArray[np.float32],
    progress: Callable[[Progress], bool | None] | bool | None,
) -> list[TrustCard]:
    """A card a picture: those that were made of these pictures and images before, or new ones, which are kept.

    Parameters
    ----------
    network : Network
    folder : Path
        Where they are kept, under a name that says what they are of.
    runs : sequence of Renders
        Of the same units, one a seed; the first are the pictures.
    identity : mapping
        Of the manifest.
    images : (N, H, W, C)
        Real ones, checked.
    progress : callable or bool, optional
        See `phosphene.render`.

    Returns
    -------
    list of TrustCard
        Without real images and, where they were kept, without anything but figures and words.
    """
    digest = hashlib.blake2b(
        json.dumps([identity, repr(THRESHOLDS), images.shape], sort_keys=True).encode(), digest_size=6
    )
    digest.update(np.ascontiguousarray(images).tobytes())
    for run in runs:  # a batch that was damaged and made again
        digest.update(np.ascontiguousarray(run.images).tobytes())
    path = folder / f"trust-{digest.hexdigest()}.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        kept = [TrustCard(**{**row, "picture": image}) for row, image in zip(rows, runs[0].images, strict=True)]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s is damaged and is made again (%s)", path, error)
    else:
        return kept
    wanted = [channel(identity["layer"], index) for index in identity["units"]]
    found = assess(network, list(runs), images, objectives=wanted, seeds=len(runs), progress=progress)
    names = [item.name for item in fields(TrustCard) if item.name not in ("picture", "strongest", "weakest")]
    rows = [{name: getattr(card, name) for name in names} for card in found]
    write_whole(path, json.dumps(rows, indent=1).encode())
    return list(found)
