"""Whether the gradient of a target arrives: at the image, and at the layer of a class activation map."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.evaluation import Task
from phosphene.attribution.programs import InputGradient
from phosphene.draws import generator
from phosphene.errors import InvalidObjective, ModelWarning
from phosphene.failures import no_gradient
from phosphene.types import Array

__all__ = ["check_differentiable", "check_reached", "nonzero", "reached", "warn_flat"]

SHOWN = 8
"""Number of images that a warning names."""

OTHERS = 16
"""Number of other images that are tried if a gradient arrives on none of the given ones."""

FLAT = 1e-5
"""Relative difference between the values of a map up to which it is constant."""


def nonzero(gradients: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether any value of each row is not exactly zero, ``(N, ...) -> (N,)``; NaN is not zero."""
    result: NDArray[np.bool_] = np.any(gradients.reshape(len(gradients), -1) != 0, axis=1)
    return result


def reached(task: Task, images: NDArray[np.float32], owners: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
    """Whether the target has a gradient at all on each image, ``(N,)``."""
    return nonzero(task.run(InputGradient(task.network, task.form), images, owners)[0])


def check_differentiable(task: Task) -> NDArray[np.bool_]:
    """Whether the target has a gradient on each image, ``(N,)``.

    There may be none on any of them, where units are inactive on these images.

    Raises
    ------
    InvalidObjective
        If it has none on other images either, because the model cannot be differentiated.
    """
    found = reached(task, task.images)
    if not found.any() and not reached(task, _others(task), np.zeros(OTHERS, np.int64)).any():
        raise no_gradient("target", "a target that depends on the image", list(task.form.layers), task.form.layers)
    return found


def _others(task: Task) -> NDArray[np.float32]:
    """Images on which units that are inactive on the given ones may be active: black, white, noise of grey and of extremes."""
    noise = generator(0, "reach").random((OTHERS, *task.images.shape[1:])).astype(np.float32)
    noise[0], noise[1], noise[OTHERS // 2 :] = 0.0, 1.0, noise[OTHERS // 2 :] > 0.5
    return noise


def check_reached(task: Task, arrived: NDArray[np.bool_], labels: Sequence[str], rule: bool) -> None:
    """Raise if a gradient cannot arrive, and warn if there are images on which it did not.

    Parameters
    ----------
    task : Task
        The first of the call, which names the layer.
    arrived : (N,) bool
    labels : sequence of str
        The target of each image.
    rule : bool
        Whether the gradient is that of a backward rule.

    Raises
    ------
    InvalidObjective
    """
    name, silent = task.network.name, np.flatnonzero(~arrived)
    if not len(silent):
        return
    if len(silent) == len(arrived) and check_differentiable(task).any() and not rule:
        last = task.network.layers.last(task.form.layers)
        raise InvalidObjective(
            "layer",
            allowed=f"a layer at which {last!r} has a gradient",
            received=task.layer,
            fix="Choose an earlier layer: the gradient is zero here because later layers use only other tokens, or because "
            "the units in between are inactive.",
        )
    warnings.warn(
        f"{name}: the gradient of the target is exactly zero on {_images(silent, labels)}, so that {_maps(silent)} empty: units on "
        "the way are inactive there.",
        ModelWarning,
        stacklevel=3,
    )


def warn_flat(network: str, layer: str, raw: NDArray[np.floating], labels: Sequence[str], arrived: Array) -> None:
    """Warn of maps that are one number, or constant up to rounding; those without a gradient are left to `check_reached`."""
    rows = raw.reshape(len(raw), -1)
    with np.errstate(invalid="ignore"):
        flat = np.flatnonzero(arrived & (np.ptp(rows, axis=1) <= FLAT * np.abs(rows).max(axis=1)))
    if not len(flat):
        return
    cause = "has one position" if rows.shape[1] == 1 else "is the same at all positions, up to rounding"
    warnings.warn(
        f"{network}: the map of {layer!r} {cause} on {_images(flat, labels)}, so it does not show where the evidence is. Choose "
        "an earlier layer, with more positions: net.layers shows their shapes.",
        ModelWarning,
        stacklevel=3,
    )


def _images(rows: NDArray[np.int64], labels: Sequence[str]) -> str:
    named = ", ".join(f"{row} ({labels[row]})" for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"image{'s' * (len(rows) != 1)} {named}{more}"


def _maps(rows: NDArray[np.int64]) -> str:
    return "its map is" if len(rows) == 1 else "their maps are"
