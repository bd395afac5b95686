"""One step of gradient ascent, and the clean look at its end: pure functions of arrays, the same on every framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from phosphene.arrays import expand, tree_map
from phosphene.ascent.pipeline import apply, pipeline_constants
from phosphene.ascent.program import Ascent
from phosphene.backend import Network
from phosphene.errors import InvalidObjective, MixedBackends, said
from phosphene.objectives.forms import Form
from phosphene.types import Array, Namespace, Tree

__all__ = ["Look", "Picture", "Step", "constants_of", "read"]


@dataclass(frozen=True)
class Step:
    """``(constants, carry, x) -> (carry, y)`` for `Backend.loop`.

    ``constants``: weights, arguments and host-made arrays. ``carry``: parameters, optimizer state, clock ``(B,)`` and gate
    ``(B,)``, 1 while a target may still be woken; where it is asked for also opacity ``(B, H, W, C)``. ``x``: one step's draws.
    ``y``: value, whether the rule acted, and how much gradient of the objective reached each row's image.
    """

    ascent: Ascent
    warming: bool

    def __call__(self, constants: Tree, carry: Tree, x: Tree) -> tuple[Tree, Tree]:
        ascent, backend, xp = self.ascent, self.ascent.network.backend, self.ascent.network.backend.xp
        parameters, state, clock, gate = carry["parameters"], carry["state"], carry["clock"], carry["gate"]

        transparent = ascent.parameterization.transparent

        def repeated(leaf: Array) -> Array:
            return xp.repeat(leaf, ascent.views, axis=0) if ascent.views > 1 else leaf

        def objective(tree: Tree) -> tuple[Array, Array]:
            moving, open_gate, nothing = tree
            images = decode(ascent, moving, constants)
            count, draws = images.shape[0], x["draws"]
            if ascent.views > 1:  # side by side in the batch, those of one image next to each other
                draws = tree_map(lambda leaf: xp.reshape(leaf, (-1, *leaf.shape[2:])), draws)
            shown = repeated(images + nothing if transparent else images)
            seen = apply(ascent.pipeline, backend, shown, draws, constants["pipeline"])
            if not transparent:
                seen = seen + expand(xp, repeated(nothing), seen)
            rule = ascent.rule if self.warming or ascent.always else None
            activations = read(ascent.network, seen, ascent.form, constants["weights"], rule, repeated(open_gate))
            arguments = tree_map(repeated, constants["arguments"])
            value = evaluate(ascent.form, xp, activations, arguments, count * ascent.views)
            value = xp.mean(xp.reshape(value, (count, ascent.views)), axis=1)
            total = xp.sum(value)
            for penalty in ascent.penalties:
                total = total - xp.sum(penalty(xp, images))
            return total, value

        # Nothing is added to every pixel that the network sees. The gradient of that nothing, row by row, is zero where no
        # gradient of the objective reaches the image; the penalties, which act on the image itself, have no part in it. Where
        # it is wanted pixel by pixel, it is added to the image instead.
        tree = (parameters, gate, xp.zeros_like(carry["opacity"] if transparent else gate))
        (gradient, used, reached), value = backend.grad(objective)(tree)
        largest = xp.max(xp.reshape(xp.abs(gradient), (gradient.shape[0], -1)), axis=1)
        finite = xp.isfinite(largest) & xp.isfinite(value)
        # A gradient that is not finite must not reach the parameters: the row stays where it was last good.
        gradient = xp.where(expand(xp, finite, gradient) > 0, gradient, xp.zeros_like(gradient))
        parameters, state = ascent.optimizer.update(xp, gradient, state, parameters, clock)
        clock = clock + 1
        for projection, fixed in zip(ascent.projections, constants["projections"], strict=True):
            parameters = projection(xp, parameters, clock, fixed)
        value = xp.where(finite, value, value * float("nan"))
        reached = xp.abs(reached)
        after = {"parameters": parameters, "state": state, "clock": clock, "gate": gate}
        if transparent:
            after["opacity"] = carry["opacity"] + reached
            reached = xp.max(xp.reshape(reached, (reached.shape[0], -1)), axis=1)
        # A rule that always acts wakes nobody: a target is awake when its gradient arrives.
        used = xp.zeros_like(used) if ascent.always else used
        return after, {"value": value, "used": used, "reached": reached}


@dataclass(frozen=True)
class Picture:
    """``(constants, parameters) -> clean images`` for `Backend.run`."""

    ascent: Ascent

    def __call__(self, constants: Tree, parameters: Array) -> Array:
        return self.ascent.network.backend.xp.clip(decode(self.ascent, parameters, constants), 0.0, 1.0)


@dataclass(frozen=True)
class Look:
    """``(constants, parameters) -> (clean images, their objective)`` for `Backend.run`."""

    ascent: Ascent

    def __call__(self, constants: Tree, parameters: Array) -> tuple[Array, Array]:
        ascent, xp = self.ascent, self.ascent.network.backend.xp
        form = ascent.form if ascent.whole is None else ascent.whole
        images = xp.clip(decode(ascent, parameters, constants), 0.0, 1.0)
        activations = read(ascent.network, images, form, constants["weights"])
        return images, evaluate(form, xp, activations, constants["arguments"], images.shape[0])


def decode(ascent: Ascent, parameters: Array, constants: Tree) -> Array:
    """Images of parameters, with the channels that the model's input freezes held at mid-grey."""
    xp = ascent.network.backend.xp
    images = ascent.parameterization.decode(xp, parameters, constants["decode"], ascent.canvas)
    if constants["free"] is not None:
        images = 0.5 + (images - 0.5) * constants["free"]
    return images


def read(
    network: Network, images: Array, form: Form, weights: Tree, rule: Any = None, gate: Array | None = None
) -> Mapping[str, Array]:
    """Activations of the form's layers in at least float32, under a backward rule when one is given."""
    backend, xp = network.backend, network.backend.xp
    half = network.dtype in ("bfloat16", "float16")
    given = xp.astype(images, getattr(xp, network.dtype)) if half else images

    def forward(inputs: Array) -> dict[str, Array]:
        return network.forward(inputs, form.layers, weights=weights)

    activations = forward(given) if rule is None else backend.with_rule(rule, forward)(given, gate)
    return {path: xp.astype(value, images.dtype) for path, value in activations.items()} if half else activations


def evaluate(form: Form, xp: Namespace, activations: Mapping[str, Array], arguments: Tree, count: int) -> Array:
    """The form's value, held to its shape ``(count,)``."""
    value = form(xp, activations, arguments)
    shape = getattr(value, "shape", None)
    if shape is None or type(value).__module__.split(".")[0] == "numpy":
        raise MixedBackends(
            f"objective: expected an array of the network's framework, got {type(value).__name__}. Compute with `xp`, the "
            "namespace that is handed to the function."
        )
    if tuple(shape) != (count,):
        raise InvalidObjective(
            "objective",
            allowed=f"one value an image, shape ({count},)",
            received=said(f"shape {tuple(shape)}"),
            fix="Reduce all axes but the first: xp.mean(activations[path], axis=(1, 2, 3)).",
        )
    return value


def constants_of(ascent: Ascent, weights: Tree) -> dict[str, Tree]:
    """Host-made arrays that every step shares (NumPy), beside the weights; arguments are added slot by slot."""
    height, width, channels = ascent.canvas
    frozen = ascent.network.input.frozen
    free = np.ones(channels)
    free[list(frozen)] = 0.0
    return {
        "weights": weights,
        "decode": ascent.parameterization.constants(ascent.canvas),
        "pipeline": pipeline_constants(ascent.pipeline, channels),
        "projections": tuple(projection.constants((height, width)) for projection in ascent.projections),
        "free": free if frozen else None,
    }
