"""Programs that a backend runs for attribution: values, image gradients, and class activation maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phosphene.ascent.step import evaluate, read
from phosphene.backend import Network, Rule
from phosphene.errors import InvalidParameter, said
from phosphene.layers import Tokens
from phosphene.objectives.forms import Form
from phosphene.types import Array, Edit, Namespace, Tree

__all__ = ["CAMS", "Activation", "ActivationMap", "GradientReach", "InputGradient", "Value", "add_offset"]


@dataclass(frozen=True)
class Value:
    """``(weights, images, arguments) -> values (N,)`` for `Backend.run`."""

    network: Network
    form: Form

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> Array:
        activations = read(self.network, images, self.form, weights)
        return evaluate(self.form, self.network.backend, activations, arguments, images.shape[0])


@dataclass(frozen=True)
class Activation:
    """``(weights, images, arguments) -> activation of the layer`` for `Backend.run`; the arguments have no effect."""

    network: Network
    layer: str

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> Array:
        xp, half = self.network.backend.xp, self.network.dtype in ("bfloat16", "float16")
        given = xp.astype(images, getattr(xp, self.network.dtype)) if half else images
        return xp.astype(self.network.forward(given, [self.layer], weights=weights)[self.layer], images.dtype)


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
    """``(weights, images, arguments) -> (map (N, *positions), largest gradient at the layer (N,), value (N,))``.

    The gradient is with respect to a zero offset added to the layer, so that nothing is differentiated below it. The map has the
    positions of the layer: rows and columns, also of patch tokens; depth, rows and columns; or one axis.
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
        return CAMS[self.method](xp, activation, gradient), _largest(xp, gradient), value


@dataclass(frozen=True)
class GradientReach:
    """``(weights, images, arguments) -> (largest gradient per channel (N, C), activation (N, ...)) of each layer, flattened``.

    The layers come in the given order; for tokens the gradient is that of the patches. All of them are differentiated in one
    pass, and nothing below the first.
    """

    network: Network
    form: Form
    layers: tuple[str, ...]
    tokens: tuple[Tokens | None, ...]

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> tuple[Array, ...]:
        network, backend, xp = self.network, self.network.backend, self.network.backend.xp
        shapes = network.shapes((images.shape[1], images.shape[2]))
        half = network.dtype in ("bfloat16", "float16")
        given = xp.astype(images, getattr(xp, network.dtype)) if half else images
        paths = list(dict.fromkeys((*self.layers, *self.form.layers)))

        def objective(offset: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
            edit = {path: add_offset(value) for path, value in offset.items()}
            seen = network.forward(given, paths, weights=weights, edit=edit)
            wide = {path: xp.astype(value, images.dtype) for path, value in seen.items()}
            return xp.sum(evaluate(self.form, backend, wide, arguments, images.shape[0])), wide

        found, seen = backend.grad(objective)({path: _zeros(xp, images, shapes[path]) for path in self.layers})
        outputs: list[Array] = []
        for path, tokens in zip(self.layers, self.tokens, strict=True):
            slope = xp.abs(_on_grid(xp, found[path], tokens))
            axes = tuple(range(1, slope.ndim - 1))
            outputs += [xp.max(slope, axis=axes) if axes else slope, seen[path]]
        return tuple(outputs)


def gradcam(xp: Namespace, activation: Array, gradient: Array) -> Array:
    """Channels weighted by the mean of their gradient (Selvaraju et al. 2017)."""
    return xp.sum(xp.mean(gradient, axis=_positions(gradient), keepdims=True) * activation, axis=-1)


def gradcam_plus_plus(xp: Namespace, activation: Array, gradient: Array) -> Array:
    """Channels weighted by their positive gradients, position by position (Chattopadhay et al. 2018, equations 10 and 19)."""
    square, zero = gradient * gradient, xp.zeros_like(gradient)
    total = xp.sum(activation, axis=_positions(activation), keepdims=True)
    share = xp.where(gradient != 0, square / (2.0 * square + total * square * gradient + 1e-6), zero)
    positive = xp.where(gradient > 0, gradient, zero)
    weight = xp.sum(share * positive, axis=_positions(gradient), keepdims=True)
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
"""Class activation maps by name: ``f(xp, activation (N, *positions, C), its gradient) -> (N, *positions)``, signed."""


def _positions(array: Array) -> tuple[int, ...]:
    return tuple(range(1, array.ndim - 1))


def _largest(xp: Namespace, array: Array) -> Array:
    """Largest absolute value of each row, ``(N,)``."""
    return xp.max(xp.reshape(xp.abs(array), (array.shape[0], -1)), axis=1)


def _zeros(xp: Namespace, images: Array, shape: tuple[int, ...]) -> Array:
    """Zeros ``(N, *shape)`` for the layer's activations of N images."""
    # Derived from the images to be on their device, which a tracer does not know.
    rows = xp.reshape(images[:, 0, 0, 0] * 0, (-1,) + (1,) * len(shape))
    return xp.broadcast_to(rows, (images.shape[0], *shape)) * 1


def add_offset(offset: Array) -> Edit:
    """Make an edit that adds an offset to a layer; the gradient of a zero offset is that of the layer."""

    def add(xp: Namespace, activation: Array) -> Array:
        if tuple(activation.shape) != tuple(offset.shape):
            raise InvalidParameter(
                "layer",
                allowed=f"a layer whose shape does not depend on the image, {tuple(offset.shape[1:])}",
                received=said(f"one of shape {tuple(activation.shape[1:])}"),
                fix="A number of boxes or key points that depends on the image has no map: choose an earlier layer.",
            )
        return activation + xp.astype(offset, activation.dtype)

    return add


def _on_grid(xp: Namespace, array: Array, tokens: Tokens | None) -> Array:
    """Arrange patch tokens in their rows and columns, without the other tokens."""
    if tokens is None:
        return array
    patches = array[:, len(tokens.prefix) :, :]
    return xp.reshape(patches, (array.shape[0], *tokens.grid, array.shape[-1]))
