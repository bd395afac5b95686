"""One step of gradient ascent, and the clean image and its value at the end: pure functions of arrays, on every framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from phosphene.arrays import expand, tree_map
from phosphene.ascent.pipeline import apply, pipeline_constants
from phosphene.ascent.program import Program
from phosphene.backend import Backend, Network
from phosphene.errors import InvalidObjective, MixedBackends, said
from phosphene.objectives.forms import Form
from phosphene.types import Array, Tree

__all__ = ["Look", "Picture", "Step", "constants_of", "read"]


@dataclass(frozen=True)
class Step:
    """``(constants, carry, x) -> (carry, y)`` for `Backend.loop`.

    ``constants``: weights, arguments and arrays made on the host. ``carry``: parameters, optimizer state, clock ``(B,)``, gate
    ``(B,)`` (1 while a target may still be woken) and, if the parameterization asks for it, opacity ``(B, H, W, C)``.
    ``x``: the random transforms of one step, and the seed of a network that draws random numbers. ``y``: per row the value,
    whether the rule acted, and the gradient of the objective that reached the image.
    """

    program: Program
    warming: bool

    def __call__(self, constants: Tree, carry: Tree, x: Tree) -> tuple[Tree, Tree]:
        program, view = self.program, self.program.view
        backend, xp = program.network.backend, program.network.backend.xp
        parameters, state, clock, gate = carry["parameters"], carry["state"], carry["clock"], carry["gate"]

        transparent = program.parameterization.transparent
        always = program.rule is not None and program.rule.when == "always"

        def repeated(leaf: Array) -> Array:
            return xp.repeat(leaf, view.copies, axis=0) if view.copies > 1 else leaf

        def objective(tree: Tree) -> tuple[Array, Array]:
            moving, open_gate, zeros = tree
            images = decode(program, moving, constants)
            count, draws = images.shape[0], x["draws"]
            if view.copies > 1:  # copies of one image are neighbours in the batch
                draws = tree_map(lambda leaf: xp.reshape(leaf, (-1, *leaf.shape[2:])), draws)
            shown = repeated(images + zeros if transparent else images)
            seen = apply(view.pipeline, backend, shown, draws, constants["pipeline"])
            if not transparent:
                seen = seen + expand(xp, repeated(zeros), seen)
            rule = program.rule.rule if program.rule is not None and (self.warming or always) else None
            gate_of_rows = repeated(open_gate)
            activations = read(
                program.network, seen, view.form, constants["weights"], rule, gate_of_rows, draw=x.get("network")
            )
            arguments = tree_map(repeated, constants["arguments"])
            value = evaluate(view.form, backend, activations, arguments, count * view.copies)
            value = xp.mean(xp.reshape(value, (count, view.copies)), axis=1)
            total = xp.sum(value)
            for penalty in program.penalties:
                total = total - xp.sum(penalty(xp, images))
            return total, value

        # Zeros, one per row, are added to what the network sees. Their gradient is zero exactly if no gradient of the objective
        # reaches that row; penalties act on the image itself and have no part in it. For an opacity per pixel the zeros are
        # added to the image instead.
        tree = (parameters, gate, xp.zeros_like(carry["opacity"] if transparent else gate))
        (gradient, used, reached), value = backend.grad(objective)(tree)
        largest = xp.max(xp.reshape(xp.abs(gradient), (gradient.shape[0], -1)), axis=1)
        finite = xp.isfinite(largest) & xp.isfinite(value)
        # A gradient that is not finite must not reach the parameters: the row keeps its last finite ones.
        gradient = xp.where(expand(xp, finite, gradient) > 0, gradient, xp.zeros_like(gradient))
        before = parameters
        parameters, state = program.optimizer.update(xp, gradient, state, parameters, clock)
        clock = clock + 1
        for projection, fixed in zip(program.projections, constants["projections"], strict=True):
            parameters = projection(xp, parameters, clock, fixed)
        # Nor may a step that is too long for the numbers of the precision in use.
        finite = finite & xp.isfinite(xp.max(xp.reshape(xp.abs(parameters), (gradient.shape[0], -1)), axis=1))
        parameters = xp.where(expand(xp, finite, parameters) > 0, parameters, before)
        value = xp.where(finite, value, value * float("nan"))
        reached = xp.abs(reached)
        after = {"parameters": parameters, "state": state, "clock": clock, "gate": gate}
        if transparent:
            after["opacity"] = carry["opacity"] + reached
            reached = xp.max(xp.reshape(reached, (reached.shape[0], -1)), axis=1)
        # A rule of all steps wakes no target: it is awake as soon as a gradient arrives.
        used = xp.zeros_like(used) if always else used
        return after, {"value": value, "used": used, "reached": reached}


@dataclass(frozen=True)
class Picture:
    """``(constants, parameters) -> clean images`` for `Backend.run`."""

    program: Program

    def __call__(self, constants: Tree, parameters: Array) -> Array:
        return self.program.network.backend.xp.clip(decode(self.program, parameters, constants), 0.0, 1.0)


@dataclass(frozen=True)
class Look:
    """``(constants, parameters) -> (clean images, their objective)`` for `Backend.run`."""

    program: Program

    def __call__(self, constants: Tree, parameters: Array) -> tuple[Array, Array]:
        program, backend = self.program, self.program.network.backend
        images = backend.xp.clip(decode(program, parameters, constants), 0.0, 1.0)
        activations = read(program.network, images, program.form, constants["weights"])
        return images, evaluate(program.form, backend, activations, constants["arguments"], images.shape[0])


def decode(program: Program, parameters: Array, constants: Tree) -> Array:
    """Decode parameters to images; frozen channels of the model's input are mid-grey."""
    xp = program.network.backend.xp
    images = program.parameterization.decode(xp, parameters, constants["decode"], program.canvas)
    if constants["free"] is not None:
        images = 0.5 + (images - 0.5) * constants["free"]
    return images


def read(
    network: Network,
    images: Array,
    form: Form,
    weights: Tree,
    rule: Any = None,
    gate: Array | None = None,
    *,
    draw: Array | None = None,
) -> Mapping[str, Array]:
    """Activations of the form's layers, in at least float32, optionally under a backward rule.

    `draw` seeds the random numbers of a network that draws them; see `phosphene.backend.Network.forward`.
    """
    backend, xp = network.backend, network.backend.xp
    half = network.dtype in ("bfloat16", "float16")
    given = xp.astype(images, getattr(xp, network.dtype)) if half else images

    def forward(inputs: Array) -> dict[str, Array]:
        return network.forward(inputs, form.layers, weights=weights, draw=draw)

    activations = forward(given) if rule is None else backend.with_rule(rule, forward)(given, gate)
    return {path: xp.astype(value, images.dtype) for path, value in activations.items()} if half else activations


def evaluate(form: Form, backend: Backend, activations: Mapping[str, Array], arguments: Tree, count: int) -> Array:
    """The form's value, checked to be an array ``(count,)`` of the network's framework."""
    value = form(backend.xp, activations, arguments)
    if not backend.is_array(value):
        raise MixedBackends(
            f"objective: expected an array of the network's framework, got {type(value).__name__}. Compute with `xp`, the "
            "namespace that is handed to the function."
        )
    shape = tuple(value.shape)
    if shape != (count,):
        raise InvalidObjective(
            "objective",
            allowed=f"one value per image, shape ({count},)",
            received=said(f"shape {shape}"),
            fix="Reduce all axes but the first: xp.mean(activations[path], axis=(1, 2, 3)).",
        )
    return value


def constants_of(program: Program) -> dict[str, Tree]:
    """NumPy arrays that all steps share; the driver adds the weights and the arguments of the targets."""
    height, width, channels = program.canvas
    frozen = program.network.input.frozen
    free = np.ones(channels)
    free[list(frozen)] = 0.0
    return {
        "decode": program.parameterization.constants(program.canvas),
        "pipeline": pipeline_constants(program.view.pipeline, channels),
        "projections": tuple(projection.constants((height, width)) for projection in program.projections),
        "free": free if frozen else None,
    }
