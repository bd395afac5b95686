"""What the engine is given and what it returns: a `Job` (a static program and its targets), a `Plan` and `Ascended`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phosphene.ascent.pipeline import Pipeline
from phosphene.backend import Network, Rule
from phosphene.kit.progress import Progress
from phosphene.objectives.forms import Form
from phosphene.optimizers import Optimizer
from phosphene.parameterizations import Parameterization
from phosphene.regularizers.penalties import Penalty
from phosphene.regularizers.projections import Projection
from phosphene.types import Floats, Tree

__all__ = ["AppliedRule", "Ascended", "Job", "Measured", "Plan", "Program", "Target", "View"]


@dataclass(frozen=True)
class View:
    """How the steps see the image: the whole of it or a window, transformed, and what is maximised there.

    Attributes
    ----------
    form : Form
        The objective on what the network is given. In a window, positions are those of the window.
    pipeline : Pipeline
        Transforms between the canvas and what the network is given.
    copies : int, default 1
        Transformed copies of the image per step; the objective is averaged over them.
    """

    form: Form
    pipeline: Pipeline
    copies: int = 1


@dataclass(frozen=True)
class AppliedRule:
    """A backward rule and the steps at which it applies.

    Attributes
    ----------
    rule : Rule
    when : "warm-up" or "always"
        "warm-up": until a dead target has a gradient of its own, for `Plan.warm_up` steps at most.
    """

    rule: Rule
    when: Literal["warm-up", "always"]


@dataclass(frozen=True)
class Program:
    """The static part of a gradient ascent. Programs are compared by value: equal ones share what was compiled.

    Attributes
    ----------
    network : Network
        Compared by identity.
    form : Form
        The objective on the clean image, by which the result is measured.
    view : View
        How the steps see the image.
    parameterization : Parameterization
    penalties : tuple of Penalty
        Functions of the image that are subtracted from the objective.
    projections : tuple of Projection
        Applied to the parameters after each step.
    optimizer : Optimizer
    canvas : (H, W, C)
        Shape of the image.
    rule : AppliedRule, optional
        Backward rule, if any step uses one.
    """

    network: Network
    form: Form
    view: View
    parameterization: Parameterization
    penalties: tuple[Penalty, ...]
    projections: tuple[Projection, ...]
    optimizer: Optimizer
    canvas: tuple[int, int, int]
    rule: AppliedRule | None = None


@dataclass(frozen=True)
class Target:
    """What differs between the targets of one program: NumPy arrays without a batch axis.

    Attributes
    ----------
    label : str
        For messages and results.
    index : int
        Its place among the objectives of the call.
    initial : array
        Parameters to start from.
    arguments : tree
        Of `Program.form`.
    view_arguments : tree
        Of `View.form`; those of `Program.form` unless the steps see a window.
    draws : callable
        Makes the random transforms of all steps, when the target enters the batch: leaves ``(steps, ...)``, or
        ``(steps, copies, ...)`` if there are several copies.
    """

    label: str
    index: int
    initial: Floats
    arguments: Tree
    view_arguments: Tree
    draws: Callable[[], Tree]


@dataclass(frozen=True)
class Job:
    """Targets that share a program, and therefore batches.

    Attributes
    ----------
    program : Program
    targets : tuple of Target
        At least one.
    capacity : int
        Most targets in one batch, as memory allows.
    together : bool
        Whether the targets depend on each other, so that one batch holds them all from the first step to the last.
    seed : int, default 0
        Random seed of a network that draws random numbers in evaluation mode; each step has other draws.
    """

    program: Program
    targets: tuple[Target, ...]
    capacity: int
    together: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Measured:
    """Use the batch size at which a step takes the least time per target, found by timing.

    Attributes
    ----------
    steps : int, default 2
        Timed steps of each size, after one that compiles and warms up.
    """

    steps: int = 2


@dataclass(frozen=True)
class Plan:
    """How long an ascent runs, and how many targets run side by side.

    Attributes
    ----------
    steps : int
        Gradient evaluations per target.
    slots : int or Measured, optional
        Targets per batch (default: `Job.capacity`).
    chunk : int, default 16
        Steps between two checks for progress, stopping and free slots.
    warm_up : int, default 64
        Steps during which dead targets are woken by the program's rule.
    patience : int, optional
        Stop a target whose objective has not risen for this many steps.
    tolerance : float, default 0.01
        Relative rise that counts as one.
    progress : callable, optional
        Called with a `Progress` after each chunk; stops the ascent by returning False.
    snapshots : int, optional
        Steps between two snapshots (default: none are kept).
    """

    steps: int
    slots: int | Measured | None = None
    chunk: int = 16
    warm_up: int = 64
    patience: int | None = None
    tolerance: float = 0.01
    progress: Callable[[Progress], bool | None] | None = None
    snapshots: int | None = None


@dataclass(frozen=True)
class Ascended:
    """The result of a job: NumPy arrays with one row per target, in the order of the job.

    Attributes
    ----------
    images : (N, H, W, C) float32
        Decoded, untransformed, in [0, 1].
    values : (N,)
        The objective on these images.
    history : (steps, N)
        The objective at each step, under that step's transforms; NaN where a target made no step.
    steps : (N,) int
        Steps made.
    awake_at : (N,) int
        First step at which the target had a gradient of its own; -1 if there was none.
    status : tuple of str
        "converged", "budget", "dead", "nonfinite" or "interrupted".
    reached : (N,) float
        Largest gradient of the objective at the image over all steps; exactly 0 if none ever arrived.
    parameters : list of arrays
        After the last step.
    snapshots : (S, N, H, W, C) uint8
        Clean images at regular intervals and at the end; a target that stopped early repeats its last one. S may be 0.
    opacity : (N, H, W) or None
        Absolute gradient at each pixel, summed over steps and channels, if the parameterization asks for it.
    slots : int
        Targets per batch.
    seconds, compile_seconds : float
        Wall time, and the part of it by which the first chunks took longer than usual.
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
    slots: int
    seconds: float
    compile_seconds: float
