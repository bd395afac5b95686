"""The attribution methods by name, with their paper, their options, and whether their maps are signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.evaluation import MethodOutput, Task, baseline_of
from phosphene.attribution.layer_positions import (
    SEQUENCE,
    VOLUME,
    positions_of,
    spread_sequence,
    spread_volume,
    tokens_at,
)
from phosphene.attribution.perturbation import occlusion
from phosphene.attribution.programs import ActivationMap, InputGradient
from phosphene.attribution.reach import nonzero
from phosphene.backend import Rule
from phosphene.draws import generator
from phosphene.kit.checks import integer, number
from phosphene.kit.maps import upsample
from phosphene.rules import Deconvolution, Guided

__all__ = ["METHODS", "Method"]

FEWEST, MOST, TOLERANCE = 32, 1024, 0.01
"""Integrated gradients: smallest and largest number of steps, and the relative error of completeness that is allowed."""


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Attributes
    ----------
    compute : callable
        ``Task -> MethodOutput``.
    source : str
        The paper.
    layered : bool
        Whether it needs a layer.
    signed : bool
        Whether its maps have positive and negative values.
    options : tuple of (str, object)
        Options of the method and their defaults.
    rule : str
        Name of its backward rule; empty for methods without one.
    """

    compute: Callable[[Task], MethodOutput]
    source: str
    layered: bool = False
    signed: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    rule: str = ""


def gradient(task: Task) -> MethodOutput:
    """The gradient of the target with respect to the image (Simonyan et al. 2014)."""
    return _slope(task, None)


def gradient_x_input(task: Task) -> MethodOutput:
    """Gradient times the difference of image and baseline (Shrikumar et al. 2016)."""
    found = _slope(task, None)
    return replace(found, raw=found.raw * (task.images - baseline_of(task)))


def guided_backprop(task: Task) -> MethodOutput:
    """The gradient, of which every active ReLU passes only the positive part (Springenberg et al. 2015).

    A clipped ReLU, such as ReLU6, is active between zero and its ceiling.
    """
    return _slope(task, Guided())


def deconvnet(task: Task) -> MethodOutput:
    """The gradient, of which every ReLU, active or not, passes the positive part (Zeiler and Fergus 2014)."""
    return _slope(task, Deconvolution())


def integrated_gradients(task: Task) -> MethodOutput:
    """The mean gradient on the line from the baseline to the image, times their difference (Sundararajan et al. 2017).

    The integral is computed by Gauss-Legendre quadrature, which converges slowly at the kinks of ReLU networks. By default the
    number of steps of an image is doubled until completeness holds within 1%: the map sums to the change of the target.
    """
    baseline = baseline_of(task)
    fixed = task.options["steps"]
    steps = FEWEST if fixed is None else integer("steps", fixed, minimum=2)
    task.expect((2 + steps) * len(task.images))
    values = task.values(task.images)
    start = task.values(np.broadcast_to(baseline, task.images.shape).astype(np.float32))
    raw, taken = np.zeros(task.images.shape), np.zeros(len(task.images))
    arrived = np.zeros(len(task.images), np.bool_)
    missing, open_rows = np.full(len(task.images), np.inf), np.arange(len(task.images))
    while len(open_rows):
        mean = _mean_gradient(task, baseline, open_rows, steps)
        raw[open_rows] = mean * (task.images[open_rows] - baseline)
        arrived[open_rows] |= nonzero(mean)
        taken[open_rows] = steps
        missing = raw.reshape(len(raw), -1).sum(axis=1) - (values - start)
        done = fixed is not None or 2 * steps > MOST
        open_rows = np.flatnonzero(np.abs(missing) > TOLERANCE * np.abs(values - start)) if not done else open_rows[:0]
        steps *= 2
        task.expect(steps * len(open_rows))
    return MethodOutput(raw, values, arrived, scores={"completeness": missing, "steps": taken})


def _mean_gradient(
    task: Task, baseline: NDArray[np.float64], rows: NDArray[np.int64], steps: int
) -> NDArray[np.float64]:
    places, shares = np.polynomial.legendre.leggauss(steps)
    way = task.images[rows] - baseline
    total = np.zeros(way.shape)
    for place, share in zip((places + 1) / 2, shares / 2, strict=True):
        between = (baseline + place * way).astype(np.float32)
        total += share * task.run(InputGradient(task.network, task.form), between, rows)[0]
    return total


def smoothgrad(task: Task) -> MethodOutput:
    """The mean gradient over noisy copies of the image (Smilkov et al. 2017)."""
    samples = integer("samples", task.options["samples"], minimum=1)
    deviation = number("deviation", task.options["deviation"], minimum=0.0, example=0.15)
    spread = deviation * (task.images.max(axis=(1, 2, 3)) - task.images.min(axis=(1, 2, 3)))[:, None, None, None]
    task.expect((1 + samples) * len(task.images))
    total = np.zeros(task.images.shape, np.float64)
    for index in range(samples):
        # The same noise for every image, so that its map does not depend on the other images of the call.
        noise = generator(task.seed, "smoothgrad", str(index)).standard_normal(task.images.shape[1:])
        total += task.run(InputGradient(task.network, task.form), (task.images + spread * noise).astype(np.float32))[0]
    return MethodOutput(total / samples, task.values(task.images), nonzero(total))


def cam(name: str) -> Callable[[Task], MethodOutput]:
    """Make the method of the class activation map of that name; its map has the resolution of the layer."""

    def compute(task: Task) -> MethodOutput:
        path, size = task.layer or "", (task.images.shape[1], task.images.shape[2])
        kind = positions_of(task.network, path, size)
        task.expect(len(task.images))
        program = ActivationMap(task.network, task.form, path, name, tokens_at(task.network, path, size))
        raw, largest, values = task.run(program, task.images)
        spread = (
            spread_sequence(task, path, raw) if kind == SEQUENCE else spread_volume(raw) if kind == VOLUME else None
        )
        return MethodOutput(raw, np.asarray(values, np.float64), nonzero(largest), spread)

    return compute


def guided_gradcam(task: Task) -> MethodOutput:
    """Guided backpropagation, multiplied by the positive part of Grad-CAM (Selvaraju et al. 2017)."""
    where, guided = cam("gradcam")(task), guided_backprop(task)
    size = (task.images.shape[1], task.images.shape[2])
    coarse = where.raw if where.spread is None else where.spread
    arrived = _both(where.arrived, guided.arrived)
    return replace(guided, raw=guided.raw * upsample(np.maximum(coarse, 0), size)[..., None], arrived=arrived)


MOST_STEPS = 2048
"""Largest number of steps of an integral; the places of more take minutes to compute, and say nothing more."""

MOST_SAMPLES = 10_000
"""Largest number of noisy copies of an image; the mean of so many is known to a hundredth of their spread."""

METHODS: dict[str, Method] = {
    "gradient": Method(gradient, "Simonyan et al. 2014"),
    "gradient_x_input": Method(gradient_x_input, "Shrikumar et al. 2016", signed=True, options=(("baseline", 0.0),)),
    "guided_backprop": Method(guided_backprop, "Springenberg et al. 2015", rule="guided"),
    "deconvnet": Method(deconvnet, "Zeiler and Fergus 2014", rule="deconvolution"),
    "gradcam": Method(cam("gradcam"), "Selvaraju et al. 2017", layered=True),
    "gradcam++": Method(cam("gradcam++"), "Chattopadhay et al. 2018", layered=True),
    "hirescam": Method(cam("hirescam"), "Draelos and Carin 2020", layered=True),
    "layercam": Method(cam("layercam"), "Jiang et al. 2021", layered=True),
    "guided_gradcam": Method(guided_gradcam, "Selvaraju et al. 2017", layered=True, rule="guided"),
    "integrated_gradients": Method(
        integrated_gradients, "Sundararajan et al. 2017", signed=True, options=(("baseline", 0.0), ("steps", None))
    ),
    "smoothgrad": Method(smoothgrad, "Smilkov et al. 2017", options=(("samples", 32), ("deviation", 0.15))),
    "occlusion": Method(
        occlusion,
        "Zeiler and Fergus 2014",
        signed=True,
        options=(("window", None), ("stride", None), ("baseline", 0.5)),
    ),
}
"""Methods by name. Their options are keyword arguments of `phosphene.attribute`."""


def _slope(task: Task, rule: Rule | None) -> MethodOutput:
    task.expect(len(task.images))
    raw, values = task.run(InputGradient(task.network, task.form, rule), task.images)
    return MethodOutput(raw, np.asarray(values, np.float64), nonzero(raw))


def _both(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return one if other is None else other if one is None else one & other
