"""What the page of `phosphene demo` tells, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.results import Attribution, Renders, TrustCard, TrustCards, Units
from phosphene.types import Floats

__all__ = [
    "AtlasReport",
    "ChannelRow",
    "ClassPictures",
    "Demo",
    "Explanations",
    "Inversions",
    "TrustReport",
    "UnitReport",
]


@dataclass(frozen=True)
class ClassPictures:
    """One picture a class, with what photographs reach and what the witness makes of it."""

    renders: Renders
    robust: Floats
    natural_best: Floats
    examples: list[NDArray[np.float32]]
    witness: list[tuple[str, float]]
    recognised: list[bool]


@dataclass(frozen=True)
class ChannelRow:
    """Sixteen channels of one layer; `dead` are those that no photograph excites."""

    layer: str
    channels: list[int]
    renders: Renders | None
    natural_best: Floats
    dead: list[int]


@dataclass(frozen=True)
class Explanations:
    """Photographs and two maps of each, with the control of both."""

    names: list[str]
    gradcam: Attribution
    guided: Attribution


@dataclass(frozen=True)
class UnitReport:
    """What photographs excite channels; of `layer` some are shown, beside row `places` of the `pictures` made for them."""

    layers: dict[str, Units]
    layer: str
    channels: list[int]
    places: list[int]
    pictures: Renders


@dataclass(frozen=True)
class TrustReport:
    """Cards of some channels of `layer`, and of that at `place` the card of a picture made without regularization."""

    layer: str
    cards: TrustCards
    place: int
    bare: TrustCard


@dataclass(frozen=True)
class Inversions:
    """Photographs inverted at several depths: ``renders[layer]`` has one picture a photograph."""

    photographs: NDArray[np.float32]
    names: list[str]
    renders: dict[str, Renders]


@dataclass(frozen=True)
class AtlasReport:
    """The map of `layer` as a picture with transparency, what it rests on, and the regions of its finer level with their places."""

    layer: str
    picture: NDArray[np.uint8]
    size: int
    points: int
    cells: int
    trustworthiness: float
    fidelity: float
    evaluations: float
    labelled: float
    regions: list[tuple[str, float, float]]
    folder: Path
    page: str


@dataclass(frozen=True)
class Demo:
    """All that the page tells."""

    network: Network
    facts: dict[str, str]
    classes: ClassPictures
    explanations: Explanations
    rows: list[ChannelRow]
    units: UnitReport | None
    trust: TrustReport | None
    inversions: Inversions
    atlas: AtlasReport | None
    seconds: float
