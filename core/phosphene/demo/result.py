"""The data of the demo page, by section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.result import Attribution
from phosphene.backend import Network
from phosphene.rendering.result import Renders
from phosphene.trust.result import TrustCard, TrustCards
from phosphene.types import Floats
from phosphene.unit_statistics.result import Units

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
    """One picture per class, with the activation by photographs and the prediction of the witness network."""

    renders: Renders
    robust: Floats
    natural_best: Floats
    examples: list[NDArray[np.float32]]
    witness: list[tuple[str, float]]
    recognised: list[bool]


@dataclass(frozen=True)
class ChannelRow:
    """Sixteen channels of one layer; no photograph activates those in `dead`."""

    layer: str
    channels: list[int]
    renders: Renders | None
    natural_best: Floats
    dead: list[int]


@dataclass(frozen=True)
class Explanations:
    """Photographs with two attribution maps each, and the sanity check of both methods."""

    names: list[str]
    gradcam: Attribution
    guided: Attribution


@dataclass(frozen=True)
class UnitReport:
    """Unit statistics by layer, and channels of `layer` that are shown beside rows `places` of `pictures`."""

    layers: dict[str, Units]
    layer: str
    channels: list[int]
    places: list[int]
    pictures: Renders


@dataclass(frozen=True)
class TrustReport:
    """Trust cards of channels of `layer`; `bare` is the card of channel `place` for a picture without regularization."""

    layer: str
    cards: TrustCards
    place: int
    bare: TrustCard


@dataclass(frozen=True)
class Inversions:
    """Photographs inverted at several layers: ``renders[layer]`` has one picture per photograph."""

    photographs: NDArray[np.float32]
    names: list[str]
    renders: dict[str, Renders]


@dataclass(frozen=True)
class AtlasReport:
    """The map of `layer` as a picture with transparency, its measures, and its largest regions with their coordinates."""

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
    """All data of the page."""

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
