"""The methods of attribution, by name: what each computes, on whose paper it rests, and whether its map has a sign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.coverage import coverage_of
from phosphene.attribution.job import Computed, Job
from phosphene.attribution.perturbation import occlusion
from phosphene.attribution.programs import LayerSlope, Slope
from phosphene.backend import Rule
from phosphene.draws import generator
from phosphene.errors import InvalidObjective, InvalidParameter, said
from phosphene.maps import upsample
from phosphene.rules import Deconvolution, Guided

__all__ = ["METHODS", "Method"]

FEWEST, MOST, TOLERANCE = 32, 1024, 0.01
"""Of integrated gradients: places on the line at first and at most, and the share of the gain that may be missing."""


@dataclass(frozen=True)
class Method:
    """A way to attribute.

    Attributes
    ----------
    compute : callable
        ``Job -> Computed``.
    source : str
        The paper.
    layered : bool
        Whether it needs a layer.
    signed : bool
        Whether its map has a sign.
    options : tuple of (str, object)
        The method's own parameters, with their defaults.
    """

    compute: Callable[[Job], Computed]
    source: str
    layered: bool = False
    signed: bool = False
    options: tuple[tuple[str, Any], ...] = ()


def gradient(job: Job) -> Computed:
    """The gradient of the target."""
    return _slope(job, None)


def gradient_x_input(job: Job) -> Computed:
    """Gradient times input, measured from the baseline."""
    found = _slope(job, None)
    return replace(found, raw=found.raw * (job.images - _baseline(job)))


def guided_backprop(job: Job) -> Computed:
    """The gradient that is positive on its way through every rectified linear unit that is on."""
    return replace(_slope(job, Guided()), coverage=coverage_of(job, "guided"))


def deconvnet(job: Job) -> Computed:
    """The gradient that is positive on its way, whether a unit is on or not."""
    return replace(_slope(job, Deconvolution()), coverage=coverage_of(job, "deconvolution"))


def integrated_gradients(job: Job) -> Computed:
    """Gradients along the straight line from the baseline, times its length; their sum is what the target gains on the way.

    The integral is by Gauss-Legendre quadrature. A network of rectified linear units has kinks, at which it converges slowly:
    without `steps`, an image's places on the line are doubled until its sum is within 1% of what is gained.
    """
    baseline = _baseline(job)
    values = job.values(job.images)
    start = job.values(np.broadcast_to(baseline, job.images.shape).astype(np.float32))
    fixed = job.options["steps"]
    steps = FEWEST if fixed is None else _integer(job, "steps", 2)
    raw, taken = np.zeros(job.images.shape), np.zeros(len(job.images))
    missing, open_rows = np.full(len(job.images), np.inf), np.arange(len(job.images))
    while len(open_rows):
        raw[open_rows] = _integrate(job, baseline, open_rows, steps)
        taken[open_rows] = steps
        missing = raw.reshape(len(raw), -1).sum(axis=1) - (values - start)
        done = fixed is not None or 2 * steps > MOST
        open_rows = np.flatnonzero(np.abs(missing) > TOLERANCE * np.abs(values - start)) if not done else open_rows[:0]
        steps *= 2
    return Computed(raw, values, scores={"completeness": missing, "steps": taken})


def _integrate(job: Job, baseline: NDArray[np.float64], rows: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
    places, shares = np.polynomial.legendre.leggauss(steps)
    way = job.images[rows] - baseline
    total = np.zeros(way.shape)
    for place, share in zip((places + 1) / 2, shares / 2, strict=True):
        between = (baseline + place * way).astype(np.float32)
        total += share * job.run(Slope(job.network, job.form), between, rows)[0]
    return total * way


def smoothgrad(job: Job) -> Computed:
    """The mean gradient over noisy copies of the image."""
    samples, deviation = _integer(job, "samples", 1), _number(job, "deviation")
    spread = deviation * (job.images.max(axis=(1, 2, 3)) - job.images.min(axis=(1, 2, 3)))[:, None, None, None]
    total = np.zeros(job.images.shape, np.float64)
    for index in range(samples):
        # The same noise for every image, so that its map does not depend on its company.
        noise = generator(job.seed, "smoothgrad", str(index)).standard_normal(job.images.shape[1:])
        total += job.run(Slope(job.network, job.form), (job.images + spread * noise).astype(np.float32))[0]
    return Computed(total / samples, job.values(job.images))


def cam(name: str) -> Callable[[Job], Computed]:
    """The class activation map of that name, at the layer's own resolution."""

    def compute(job: Job) -> Computed:
        layer = job.network.layers[job.layer or ""]
        program = LayerSlope(job.network, job.form, layer.path, name, layer.tokens)
        raw, arrived, values = job.run(program, job.images)
        if not np.any(arrived):
            last = job.network.layers.last(job.form.layers)
            raise InvalidObjective(
                "layer", allowed=f"a layer that has a part in {last!r}", received=layer.path,
                fix="No gradient of the target arrives there: what follows reads other tokens of it only (take an earlier "
                "block), or everything between is dead.",
            )  # fmt: skip
        return Computed(raw, np.asarray(values, np.float64))

    return compute


def guided_gradcam(job: Job) -> Computed:
    """Guided gradients where Grad-CAM is positive."""
    where, guided = cam("gradcam")(job), guided_backprop(job)
    size = (job.images.shape[1], job.images.shape[2])
    return replace(guided, raw=guided.raw * upsample(np.maximum(where.raw, 0), size)[..., None])


METHODS: dict[str, Method] = {
    "gradient": Method(gradient, "Simonyan et al. 2014"),
    "gradient_x_input": Method(
        gradient_x_input, "Shrikumar et al. 2016", signed=True, options=(("baseline", 0.0),)
    ),
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
        occlusion, "Zeiler and Fergus 2014", signed=True,
        options=(("window", None), ("stride", None), ("baseline", 0.5)),
    ),
}  # fmt: skip
"""By name. Options and their defaults are the method's own keyword arguments of `phosphene.attribute`."""


def _slope(job: Job, rule: Rule | None) -> Computed:
    raw, values = job.run(Slope(job.network, job.form, rule), job.images)
    return Computed(raw, np.asarray(values, np.float64))


def _baseline(job: Job) -> NDArray[np.float64]:
    """The image that stands for nothing: a number, or an image ``(H, W, C)``, in [0, 1]."""
    given = np.asarray(job.options["baseline"], np.float64)
    if given.ndim not in (0, 3) or (given.ndim == 3 and given.shape != job.images.shape[1:]):
        raise InvalidParameter(
            "baseline", allowed=f"a number or an image of shape {job.images.shape[1:]}",
            received=said(f"shape {given.shape}"), fix="0 is black.",
        )  # fmt: skip
    if not (np.all(np.isfinite(given)) and given.min() >= 0 and given.max() <= 1):
        raise InvalidParameter(
            "baseline", allowed="values in [0, 1]", received=job.options["baseline"], fix="0 is black."
        )
    return given


def _integer(job: Job, name: str, minimum: int) -> int:
    value = job.options[name]
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise InvalidParameter(
            name, allowed=f"an integer of at least {minimum}", received=value, fix="More is slower and smoother."
        )
    return int(value)


def _number(job: Job, name: str) -> float:
    value = job.options[name]
    if not isinstance(value, (int, float)) or not 0 <= value < np.inf:
        raise InvalidParameter(name, allowed="a number of at least 0", received=value, fix="0.1 to 0.2 is usual.")
    return float(value)
