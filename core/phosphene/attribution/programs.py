"""Programs that a backend runs for attribution: values, image gradients, and class activation maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phosphene.ascent.step import evaluate, read
from phosphene.backend import Network, Rule
from phosphene.layers import Tokens
from phosphene.objectives.forms import Form
from phosphene.types import Array, Edit, Namespace, Tree

__all__ = ["CAMS", "ActivationMap", "GradientReach", "InputGradient", "Value", "add_offset"]


@dataclass(frozen=True)
class Value:
    """``(weights, images, arguments) -> values (N,)`` for `Backend.run`."""

    network: Network
    form: Form

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> Array:
        activations = read(self.network, images, self.form, weights)
        return evaluate(self.form, self.network.backend, activations, arguments, images.shape[0])


@dataclass(frozen=True)
class InputGradient:
    """``(weights, images, arguments) -> (gradient (N, H, W, C), value (N,))``, optionally with a backward rule."""

    network: Network
    form: Form
    rule: Rule | None = None

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> tuple[Array, Array]:
        network, backend, xp = self.network, self.network.backend, self.network.backend.xp
        gate = xp.ones_like(images[:, 0, 0, 0])

        def objective(x: Array) -> tuple[Array, Array]:
            activations = read(network, x, self.form, weights, self.rule, gate)
            value = evaluate(self.form, backend, activations, arguments, x.shape[0])
            return xp.sum(value), value

        return backend.grad(objective)(images)


@dataclass(frozen=True)
class ActivationMap:
    """``(weights, images, arguments) -> (map (N, h, w), largest gradient at the layer (N,), value (N,))``.

    The gradient is with respect to a zero offset added to the layer, so that nothing is differentiated below it.
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

        def objective(offset: Array) -> tuple[Array, tuple[Array, Array]]:
            seen = network.forward(given, paths, weights=weights, edit={self.layer: add_offset(offset)})
            wide = {path: xp.astype(value, images.dtype) for path, value in seen.items()} if half else seen
            value = evaluate(self.form, backend, wide, arguments, images.shape[0])
            return xp.sum(value), (wide[self.layer], value)

        gradient, (activation, value) = backend.grad(objective)(_zeros(xp, images, shape))
        activation, gradient = (_on_grid(xp, array, self.tokens) for array in (activation, gradient))
        arrived = xp.max(xp.reshape(xp.abs(gradient), (gradient.shape[0], -1)), axis=1)
        return CAMS[self.method](xp, activation, gradient), arrived, value


@dataclass(frozen=True)
class GradientReach:
    """``(weights, images, arguments) -> largest gradient at each layer (N, layers)``; for tokens, at the patches."""

    network: Network
    form: Form
    layers: tuple[str, ...]

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> Array:
        network, backend, xp = self.network, self.network.backend, self.network.backend.xp
        shapes = network.shapes((images.shape[1], images.shape[2]))
        half = network.dtype in ("bfloat16", "float16")
        given = xp.astype(images, getattr(xp, network.dtype)) if half else images

        def objective(offset: dict[str, Array]) -> tuple[Array, Array]:
            edit = {path: add_offset(value) for path, value in offset.items()}
            seen = network.forward(given, list(self.form.layers), weights=weights, edit=edit)
            wide = {path: xp.astype(value, images.dtype) for path, value in seen.items()}
            value = evaluate(self.form, backend, wide, arguments, images.shape[0])
            return xp.sum(value), value

        found, _ = backend.grad(objective)({path: _zeros(xp, images, shapes[path]) for path in self.layers})
        patches = [_on_grid(xp, found[path], network.layers[path].tokens) for path in self.layers]
        return xp.stack([xp.max(xp.reshape(xp.abs(part), (part.shape[0], -1)), axis=1) for part in patches], axis=1)


def gradcam(xp: Namespace, activation: Array, gradient: Array) -> Array:
    """Channels weighted by the mean of their gradient (Selvaraju et al. 2017)."""
    return xp.sum(xp.mean(gradient, axis=(1, 2), keepdims=True) * activation, axis=-1)


def gradcam_plus_plus(xp: Namespace, activation: Array, gradient: Array) -> Array:
    """Channels weighted by their positive gradients, position by position (Chattopadhay et al. 2018, equations 10 and 19)."""
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


def _zeros(xp: Namespace, images: Array, shape: tuple[int, ...]) -> Array:
    """Zeros ``(N, *shape)`` for the layer's activations of N images."""
    # Derived from the images to be on their device, which a tracer does not know.
    return xp.reshape(images[:, 0, 0, 0] * 0, (-1,) + (1,) * len(shape)) + xp.zeros(shape, dtype=images.dtype)


def add_offset(offset: Array) -> Edit:
    """Make an edit that adds an offset to a layer; the gradient of a zero offset is that of the layer."""

    def add(xp: Namespace, activation: Array) -> Array:
        return activation + xp.astype(offset, activation.dtype)

    return add


def _on_grid(xp: Namespace, array: Array, tokens: Tokens | None) -> Array:
    """Arrange patch tokens in their rows and columns, without the other tokens."""
    if tokens is None:
        return array
    patches = array[:, len(tokens.prefix) :, :]
    return xp.reshape(patches, (array.shape[0], *tokens.grid, array.shape[-1]))
