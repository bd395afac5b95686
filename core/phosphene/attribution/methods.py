"""The attribution methods by name, with their paper, their options, and whether their maps are signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.coverage import coverage_of
from phosphene.attribution.evaluation import MethodOutput, Task
from phosphene.attribution.perturbation import occlusion
from phosphene.attribution.programs import ActivationMap, InputGradient
from phosphene.backend import Rule
from phosphene.draws import generator
from phosphene.errors import InvalidObjective, InvalidParameter, said
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
    """

    compute: Callable[[Task], MethodOutput]
    source: str
    layered: bool = False
    signed: bool = False
    options: tuple[tuple[str, Any], ...] = ()


def gradient(task: Task) -> MethodOutput:
    """The gradient of the target with respect to the image (Simonyan et al. 2014)."""
    return _slope(task, None)


def gradient_x_input(task: Task) -> MethodOutput:
    """Gradient times the difference of image and baseline (Shrikumar et al. 2016)."""
    found = _slope(task, None)
    return replace(found, raw=found.raw * (task.images - _baseline(task)))


def guided_backprop(task: Task) -> MethodOutput:
    """The gradient, of which every active ReLU passes only the positive part (Springenberg et al. 2015)."""
    return replace(_slope(task, Guided()), coverage=coverage_of(task, "guided"))


def deconvnet(task: Task) -> MethodOutput:
    """The gradient, of which every ReLU, active or not, passes the positive part (Zeiler and Fergus 2014)."""
    return replace(_slope(task, Deconvolution()), coverage=coverage_of(task, "deconvolution"))


def integrated_gradients(task: Task) -> MethodOutput:
    """The mean gradient on the line from the baseline to the image, times their difference (Sundararajan et al. 2017).

    The integral is computed by Gauss-Legendre quadrature, which converges slowly at the kinks of ReLU networks. By default the
    number of steps of an image is doubled until completeness holds within 1%: the map sums to the change of the target.
    """
    baseline = _baseline(task)
    values = task.values(task.images)
    start = task.values(np.broadcast_to(baseline, task.images.shape).astype(np.float32))
    fixed = task.options["steps"]
    steps = FEWEST if fixed is None else integer("steps", fixed, minimum=2)
    raw, taken = np.zeros(task.images.shape), np.zeros(len(task.images))
    missing, open_rows = np.full(len(task.images), np.inf), np.arange(len(task.images))
    while len(open_rows):
        raw[open_rows] = _integrate(task, baseline, open_rows, steps)
        taken[open_rows] = steps
        missing = raw.reshape(len(raw), -1).sum(axis=1) - (values - start)
        done = fixed is not None or 2 * steps > MOST
        open_rows = np.flatnonzero(np.abs(missing) > TOLERANCE * np.abs(values - start)) if not done else open_rows[:0]
        steps *= 2
    return MethodOutput(raw, values, scores={"completeness": missing, "steps": taken})


def _integrate(task: Task, baseline: NDArray[np.float64], rows: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
    places, shares = np.polynomial.legendre.leggauss(steps)
    way = task.images[rows] - baseline
    total = np.zeros(way.shape)
    for place, share in zip((places + 1) / 2, shares / 2, strict=True):
        between = (baseline + place * way).astype(np.float32)
        total += share * task.run(InputGradient(task.network, task.form), between, rows)[0]
    return total * way


def smoothgrad(task: Task) -> MethodOutput:
    """The mean gradient over noisy copies of the image (Smilkov et al. 2017)."""
    samples = integer("samples", task.options["samples"], minimum=1)
    deviation = number("deviation", task.options["deviation"], minimum=0.0, example=0.15)
    spread = deviation * (task.images.max(axis=(1, 2, 3)) - task.images.min(axis=(1, 2, 3)))[:, None, None, None]
    total = np.zeros(task.images.shape, np.float64)
    for index in range(samples):
        # The same noise for every image, so that its map does not depend on the other images of the call.
        noise = generator(task.seed, "smoothgrad", str(index)).standard_normal(task.images.shape[1:])
        total += task.run(InputGradient(task.network, task.form), (task.images + spread * noise).astype(np.float32))[0]
    return MethodOutput(total / samples, task.values(task.images))


def cam(name: str) -> Callable[[Task], MethodOutput]:
    """Make the method of the class activation map of that name; its map has the resolution of the layer."""

    def compute(task: Task) -> MethodOutput:
        layer = task.network.layers[task.layer or ""]
        program = ActivationMap(task.network, task.form, layer.path, name, layer.tokens)
        raw, arrived, values = task.run(program, task.images)
        if not np.any(arrived):
            last = task.network.layers.last(task.form.layers)
            raise InvalidObjective(
                "layer",
                allowed=f"a layer at which {last!r} has a gradient",
                received=layer.path,
                fix="Choose an earlier layer: the gradient is zero here because later layers use only other tokens, or because "
                "the units in between are inactive.",
            )
        return MethodOutput(raw, np.asarray(values, np.float64))

    return compute


def guided_gradcam(task: Task) -> MethodOutput:
    """Guided backpropagation, multiplied by the positive part of Grad-CAM (Selvaraju et al. 2017)."""
    where, guided = cam("gradcam")(task), guided_backprop(task)
    size = (task.images.shape[1], task.images.shape[2])
    return replace(guided, raw=guided.raw * upsample(np.maximum(where.raw, 0), size)[..., None])


METHODS: dict[str, Method] = {
    "gradient": Method(gradient, "Simonyan et al. 2014"),
    "gradient_x_input": Method(gradient_x_input, "Shrikumar et al. 2016", signed=True, options=(("baseline", 0.0),)),
    "guided_backprop": Method(guided_backprop, "Springenberg et al. 2015"),
    "deconvnet": Method(deconvnet, "Zeiler and Fergus 2014"),
    "gradcam": Method(cam("gradcam"), "Selvaraju et al. 2017", layered=True),
    "gradcam++": Method(cam("gradcam++"), "Chattopadhay et al. 2018", layered=True),
    "hirescam": Method(cam("hirescam"), "Draelos and Carin 2020", layered=True),
    "layercam": Method(cam("layercam"), "Jiang et al. 2021", layered=True),
    "guided_gradcam": Method(guided_gradcam, "Selvaraju et al. 2017", layered=True),
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
    raw, values = task.run(InputGradient(task.network, task.form, rule), task.images)
    return MethodOutput(raw, np.asarray(values, np.float64))


def _baseline(task: Task) -> NDArray[np.float64]:
    """The baseline: a number or an image ``(H, W, C)``, in [0, 1]."""
    given = np.asarray(task.options["baseline"], np.float64)
    if given.ndim not in (0, 3) or (given.ndim == 3 and given.shape != task.images.shape[1:]):
        raise InvalidParameter(
            "baseline",
            allowed=f"a number or an image of shape {task.images.shape[1:]}",
            received=said(f"shape {given.shape}"),
            fix="For example baseline=0, which is black.",
        )
    if not (np.all(np.isfinite(given)) and given.min() >= 0 and given.max() <= 1):
        raise InvalidParameter(
            "baseline",
            allowed="values in [0, 1]",
            received=task.options["baseline"],
            fix="For example baseline=0, which is black.",
        )
    return given
