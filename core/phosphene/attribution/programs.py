"""What a backend runs for an attribution: values, gradients of the image, and activation maps of a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phosphene.ascent.step import evaluate, read
from phosphene.backend import Network, Rule
from phosphene.layers import Tokens
from phosphene.objectives.forms import Form
from phosphene.types import Array, Edit, Namespace, Tree

__all__ = ["CAMS", "LayerSlope", "Reach", "Slope", "Value", "adding"]


@dataclass(frozen=True)
class Value:
    """``(weights, images, arguments) -> values (N,)`` for `Backend.run`."""

    network: Network
    form: Form

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> Array:
        xp = self.network.backend.xp
        return evaluate(self.form, xp, read(self.network, images, self.form, weights), arguments, images.shape[0])


@dataclass(frozen=True)
class Slope:
    """``(weights, images, arguments) -> (gradient of the value (N, H, W, C), value (N,))``, under a rule if there is one."""

    network: Network
    form: Form
    rule: Rule | None = None

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> tuple[Array, Array]:
        network, backend, xp = self.network, self.network.backend, self.network.backend.xp
        gate = xp.ones_like(images[:, 0, 0, 0])

        def objective(x: Array) -> tuple[Array, Array]:
            activations = read(network, x, self.form, weights, self.rule, gate)
            value = evaluate(self.form, xp, activations, arguments, x.shape[0])
            return xp.sum(value), value

        return backend.grad(objective)(images)


@dataclass(frozen=True)
class LayerSlope:
    """``(weights, images, arguments) -> (map (N, h, w), how much gradient arrived (N,), value (N,))``.

    The gradient is that of a nothing that is added to the layer, so that none is computed below it.
    """

    network: Network
    form: Form
    layer: str
    method: str
    tokens: Tokens | None

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> tuple[Array, Array, Array]:
        network, backend, xp = self.network, self.network.backend, self.network.backend.xp
        shape = network.shapes((images.shape[1], images.shape[2]))[self.layer]
        half = network.dtype in ("bfloat16", "float16")
        given = xp.astype(images, getattr(xp, network.dtype)) if half else images
        paths = list(dict.fromkeys((self.layer, *self.form.layers)))

        def objective(nothing: Array) -> tuple[Array, tuple[Array, Array]]:
            seen = network.forward(given, paths, weights=weights, edit={self.layer: adding(nothing)})
            wide = {path: xp.astype(value, images.dtype) for path, value in seen.items()} if half else seen
            value = evaluate(self.form, xp, wide, arguments, images.shape[0])
            return xp.sum(value), (wide[self.layer], value)

        gradient, (activation, value) = backend.grad(objective)(_nothing(xp, images, shape))
        activation, gradient = (_on_grid(xp, array, self.tokens) for array in (activation, gradient))
        arrived = xp.max(xp.reshape(xp.abs(gradient), (gradient.shape[0], -1)), axis=1)
        return CAMS[self.method](xp, activation, gradient), arrived, value


@dataclass(frozen=True)
class Reach:
    """``(weights, images, arguments) -> how much gradient of the value arrives (N, layers)``; of tokens, at the patches."""

    network: Network
    form: Form
    layers: tuple[str, ...]

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> Array:
        network, backend, xp = self.network, self.network.backend, self.network.backend.xp
        shapes = network.shapes((images.shape[1], images.shape[2]))
        half = network.dtype in ("bfloat16", "float16")
        given = xp.astype(images, getattr(xp, network.dtype)) if half else images

        def objective(nothing: dict[str, Array]) -> tuple[Array, Array]:
            edit = {path: adding(value) for path, value in nothing.items()}
            seen = network.forward(given, list(self.form.layers), weights=weights, edit=edit)
            wide = {path: xp.astype(value, images.dtype) for path, value in seen.items()}
            value = evaluate(self.form, xp, wide, arguments, images.shape[0])
            return xp.sum(value), value

        found, _ = backend.grad(objective)({path: _nothing(xp, images, shapes[path]) for path in self.layers})
        patches = [_on_grid(xp, found[path], network.layers[path].tokens) for path in self.layers]
        return xp.stack([xp.max(xp.reshape(xp.abs(part), (part.shape[0], -1)), axis=1) for part in patches], axis=1)


def gradcam(xp: Namespace, activation: Array, gradient: Array) -> Array:
    """Channels weighted by the mean of their gradient (Selvaraju et al. 2017)."""
    return xp.sum(xp.mean(gradient, axis=(1, 2), keepdims=True) * activation, axis=-1)


def gradcam_plus_plus(xp: Namespace, activation: Array, gradient: Array) -> Array:
    """Positive gradients weighted by how much each position adds (Chattopadhay et al. 2018, equations 10 and 19)."""
    square, zero = gradient * gradient, xp.zeros_like(gradient)
    total = xp.sum(activation, axis=(1, 2), keepdims=True)
    share = xp.where(gradient != 0, square / (2.0 * square + total * square * gradient + 1e-6), zero)
    weight = xp.sum(share * xp.where(gradient > 0, gradient, zero), axis=(1, 2), keepdims=True)
    return xp.sum(weight * activation, axis=-1)


def hirescam(xp: Namespace, activation: Array, gradient: Array) -> Array:
    """Gradient times activation, position by position (Draelos and Carin 2020)."""
    return xp.sum(gradient * activation, axis=-1)


def layercam(xp: Namespace, activation: Array, gradient: Array) -> Array:
    """Positive gradient times activation, position by position (Jiang et al. 2021)."""
    return xp.sum(xp.where(gradient > 0, gradient, xp.zeros_like(gradient)) * activation, axis=-1)


CAMS: dict[str, Callable[[Namespace, Array, Array], Array]] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "hirescam": hirescam,
    "layercam": layercam,
}
"""Class activation maps by name: ``f(xp, activation (N, h, w, C), its gradient) -> (N, h, w)``, signed."""


def _nothing(xp: Namespace, images: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of a layer's shape, one block an image."""
    # One number an image, spread out: it is on the images' device, which a tracer does not know.
    return xp.reshape(images[:, 0, 0, 0] * 0, (-1,) + (1,) * len(shape)) + xp.zeros(shape, dtype=images.dtype)


def adding(nothing: Array) -> Edit:
    """An edit that adds a nothing, whose gradient is the layer's."""

    def add(xp: Namespace, activation: Array) -> Array:
        return activation + xp.astype(nothing, activation.dtype)

    return add


def _on_grid(xp: Namespace, array: Array, tokens: Tokens | None) -> Array:
    """Tokens of patches back in their rows and columns; those that stand for no place are left out."""
    if tokens is None:
        return array
    patches = array[:, len(tokens.prefix) :, :]
    return xp.reshape(patches, (array.shape[0], *tokens.grid, array.shape[-1]))
