"""Trust cards of the pictures in a folder, kept beside them."""

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

from phosphene.backend import Network
from phosphene.kit.documents import DAMAGE, read_json
from phosphene.kit.progress import Progress
from phosphene.kit.records import rebuilt
from phosphene.kit.writing import write_whole
from phosphene.objectives import channel
from phosphene.rendering.result import Renders
from phosphene.trust import assess
from phosphene.trust.result import TrustCard
from phosphene.trust.verdict import THRESHOLDS
from phosphene.words import plain_message, plain_name

__all__ = ["cards_of"]

PICTURES = ("picture", "strongest", "weakest")
"""Fields of a trust card that are not kept with it."""

log = logging.getLogger("phosphene.sheet.call")


def cards_of(
    network: Network,
    folder: Path,
    runs: Sequence[Renders],
    identity: Mapping[str, Any],
    images: NDArray[np.float32],
    progress: Callable[[Progress], bool | None] | bool | None,
) -> list[TrustCard]:
    """Read the trust cards of these pictures and images from a folder, or compute and keep them.

    Parameters
    ----------
    network : Network
    folder : Path
        Folder of the cards, whose file name includes a digest of pictures and images.
    runs : sequence of Renders
        Pictures of the same units, one set per seed; the first set is assessed.
    identity : mapping
        Identity of the manifest.
    images : (N, H, W, C)
        Real images, checked.
    progress : callable or bool, optional
        See `phosphene.render`.

    Returns
    -------
    list of TrustCard
        One per picture. Cards that were read from the folder have no example images.
    """
    digest = hashlib.blake2b(
        json.dumps([identity, repr(THRESHOLDS), images.shape], sort_keys=True).encode(), digest_size=6
    )
    digest.update(np.ascontiguousarray(images).tobytes())
    for run in runs:  # a damaged batch may have been rendered again
        digest.update(np.ascontiguousarray(run.images).tobytes())
    path = folder / f"trust-{digest.hexdigest()}.json"
    try:
        rows = read_json(path, finite=False)  # a measure that could not be taken is NaN
        kept = [_card(row, image) for row, image in zip(rows, runs[0].images, strict=True)]
    except FileNotFoundError:
        pass
    except DAMAGE as error:
        log.warning("%s is damaged and is computed again (%s)", plain_name(path), plain_message(error))
    else:
        return kept
    wanted = [channel(identity["layer"], index) for index in identity["units"]]
    found = assess(network, list(runs), images, objectives=wanted, seeds=len(runs), progress=progress)
    names = [item.name for item in fields(TrustCard) if item.name not in PICTURES]
    rows = [{name: getattr(card, name) for name in names} for card in found]
    write_whole(path, json.dumps(rows, indent=1).encode())
    return list(found)


def _card(row: Any, picture: NDArray[np.float32]) -> TrustCard:
    """A trust card from its row in the file; TypeError or ValueError for a row that is none."""
    examples = np.zeros((0, 1, 1, picture.shape[-1]), np.float32)
    arrays = dict(zip(PICTURES, (picture, examples, examples), strict=True))
    return rebuilt(TrustCard, {**row, **{name: name for name in PICTURES}}, arrays)
