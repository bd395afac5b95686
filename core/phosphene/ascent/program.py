"""The ascent as a declaration: what is static, what differs between targets, how long it runs, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import tree_map
from phosphene.ascent.pipeline import Pipeline
from phosphene.backend import Network, Rule
from phosphene.objectives.forms import Form
from phosphene.optimizers import Optimizer
from phosphene.parameterizations import Parameterization
from phosphene.penalties import Penalty
from phosphene.projections import Projection
from phosphene.types import Array, Floats, Tree

__all__ = ["Ascended", "Ascent", "Plan", "Progress", "Target", "native"]


@dataclass(frozen=True)
class Ascent:
    """The static part of a gradient ascent; equal ascents share a compiled program.

    Attributes
    ----------
    network : Network
        Compared by identity.
    form : Form
        What is maximised.
    parameterization : Parameterization
    pipeline : Pipeline
        Transforms between the canvas and what the network sees.
    penalties, projections : tuple
    optimizer : Optimizer
    canvas : (H, W, C)
        Size of the image.
    rule : Rule, optional
        Backward rule of the warm-up, or of all steps.
    always : bool
        Whether it is that of all steps.
    views : int
        How often the image is transformed and seen at each step; the objective is the mean over views.
    whole : Form, optional
        What the clean picture is measured by, where the steps see a window of it alone; `form` when absent.
    """

    network: Network
    form: Form
    parameterization: Parameterization
    pipeline: Pipeline
    penalties: tuple[Penalty, ...]
    projections: tuple[Projection, ...]
    optimizer: Optimizer
    canvas: tuple[int, int, int]
    rule: Rule | None
    whole: Form | None = None
    always: bool = False
    views: int = 1


@dataclass(frozen=True)
class Target:
    """What differs between targets: NumPy, without a batch axis; `draws` is made when the target enters the batch.

    With several views each leaf of the draws has an axis of them after that of the steps.

    `whole` are the arguments of the ascent's form of that name, where it has one.
    """

    initial: Floats
    arguments: Tree
    draws: Callable[[], Tree]
    whole: Tree = None


@dataclass(frozen=True)
class Plan:
    """How long and how wide.

    Attributes
    ----------
    steps : int
        Gradient evaluations a target.
    slots : int
        Targets at a time.
    chunk : int
        Steps between two looks at the results: progress, stopping, refilling.
    warm_up : int
        Steps during which a dead target is woken by the ascent's rule.
    patience : int, optional
        Stop a target when its objective has not risen for so many steps.
    tolerance : float
        Relative rise that counts as one.
    progress : callable, optional
        Called with a `Progress` after each chunk; stops the ascent by returning False.
    snapshots : int
        Steps between two that are kept; 0 keeps none.
    """

    steps: int
    slots: int
    chunk: int = 16
    warm_up: int = 64
    patience: int | None = None
    tolerance: float = 0.01
    progress: Callable[[Progress], bool | None] | None = None
    snapshots: int = 0


@dataclass(frozen=True)
class Progress:
    """How far a piece of work has come.

    Attributes
    ----------
    done, total : int
        Units of work (steps times targets).
    unit : str
    seconds : float
        Since the start.
    message : str
    """

    done: int
    total: int
    unit: str
    seconds: float
    message: str = ""

    @property
    def rate(self) -> float:
        """Units a second, 0 before the first."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float:
        """At the rate so far; infinite before the first unit."""
        return (self.total - self.done) / self.rate if self.rate > 0 else float("inf")


@dataclass(frozen=True)
class Ascended:
    """What an ascent brings back, one row a target, NumPy.

    Attributes
    ----------
    images : (N, H, W, C) float32
        Decoded, clean, in [0, 1].
    values : (N,)
        The objective on the clean image.
    history : (steps, N)
        The objective at each step under that step's draws; NaN where a target made no step.
    steps : (N,) int
        Steps made.
    awake_at : (N,) int
        First step at which the target had a gradient of its own; -1 when it never had.
    status : tuple of str
        "converged", "budget", "dead", "nonfinite" or "interrupted".
    reached : (N,) float
        Most gradient of the objective that ever reached the image; exactly 0 when none did.
    parameters : list of arrays
        Last parameters.
    snapshots : (S, N, H, W, C) uint8
        Clean images on the way, every so many steps and at the end; the last one again where a target had stopped. S may be 0.
    opacity : (N, H, W) or None
        Gradient that reached each pixel, summed over steps and channels in absolute value; where the parameterization asks for it.
    seconds, compile_seconds : float
        Wall time, and the part of the first chunk above the usual one.
    """

    images: NDArray[np.float32]
    values: Floats
    history: Floats
    steps: NDArray[np.int64]
    awake_at: NDArray[np.int64]
    status: tuple[str, ...]
    reached: Floats
    parameters: list[Floats] = field(repr=False)
    snapshots: NDArray[np.uint8] = field(repr=False)
    opacity: NDArray[np.float32] | None = field(repr=False)
    seconds: float
    compile_seconds: float


def native(network: Network, tree: Tree) -> Tree:
    """A NumPy tree on the network's device, floats in the dtype in which images are kept (never below float32)."""
    dtype = "float64" if network.dtype == "float64" else "float32"

    def convert(leaf: NDArray[np.generic]) -> Array:
        return network.backend.from_numpy(np.asarray(leaf), device=network.device, dtype=dtype)

    return tree_map(convert, tree)
