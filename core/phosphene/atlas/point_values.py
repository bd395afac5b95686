"""The program that a backend runs to collect an atlas: activations at positions, logits and linear attributions."""

from __future__ import annotations

from dataclasses import dataclass

from phosphene.arrays import expand
from phosphene.backend import Network
from phosphene.layers import OUTPUT
from phosphene.types import Array, Edit, Namespace, Tree

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    """``(weights, images, masks) -> {"logits", "activations", "attributions"}`` for `Backend.run`.

    Attributes
    ----------
    network : Network
    layers : tuple of str
    positions : int
        Positions per image.
    attributed : bool
        Whether to compute attributions.

    Notes
    -----
    The linear attribution of an activation h at a position to class c is the inner product of h with the gradient of logit c
    at that position (Olah et al. 2018; Carter et al. 2019). For all classes together this is one directional derivative along
    h: the activation at that position is multiplied by ``1 + e``, and the logits are differentiated with respect to e at 0 in
    forward mode. One pass per position therefore gives the attribution to every class, and the activation and the logits.
    """

    network: Network
    layers: tuple[str, ...]
    positions: int
    attributed: bool

    def __call__(self, weights: Tree, images: Array, masks: dict[str, list[Array]]) -> Tree:
        """Compute activations, logits and attributions; `masks` has one array ``(N, *positions, 1)`` per layer and position.

        Returns ``logits (N, classes)``, and by layer lists of ``activations (N, C)`` and ``attributions (N, classes)``.
        """
        network, xp = self.network, self.network.backend.xp
        given = images
        if network.dtype in ("bfloat16", "float16"):
            given = xp.astype(images, getattr(xp, network.dtype))
        activations: dict[str, list[Array]] = {path: [] for path in self.layers}
        attributions: dict[str, list[Array]] = {path: [] for path in self.layers}
        if not self.attributed:
            seen = network.forward(given, list(dict.fromkeys((*self.layers, OUTPUT))), weights=weights)
            for path in self.layers:
                activations[path] = [_at(xp, seen[path], mask) for mask in masks[path]]
            return {"logits": _classes(xp, seen[OUTPUT]), "activations": activations, "attributions": attributions}
        nothing = images[:, 0, 0, 0] * 0
        logits = None
        for path in self.layers:
            wanted = list(dict.fromkeys((path, OUTPUT)))
            for mask in masks[path]:

                def answer(e: Array, path: str = path, mask: Array = mask, wanted: list[str] = wanted) -> Tree:
                    return network.forward(given, wanted, weights=weights, edit={path: _growing(e, mask)})

                seen, change = network.backend.jvp(answer)(nothing, nothing + 1)
                activations[path].append(_at(xp, seen[path], mask))
                attributions[path].append(_classes(xp, change[OUTPUT]))
                logits = _classes(xp, seen[OUTPUT]) if logits is None else logits
        return {"logits": logits, "activations": activations, "attributions": attributions}


def _growing(e: Array, mask: Array) -> Edit:
    """An edit that multiplies the activation at one position of each image by ``1 + e``."""

    def grow(xp: Namespace, activation: Array) -> Array:
        # Other positions may be infinite or NaN, so they are excluded by `where` rather than by a factor of zero.
        part = xp.where(mask, activation, xp.zeros_like(activation))
        return activation + part * expand(xp, e, activation)

    return grow


def _at(xp: Namespace, activation: Array, mask: Array) -> Array:
    """The activation at the position of the mask: ``(N, ..., C) -> (N, C)``."""
    only = xp.where(mask, activation, xp.zeros_like(activation))
    return xp.sum(xp.reshape(only, (only.shape[0], -1, only.shape[-1])), axis=1)


def _classes(xp: Namespace, output: Array) -> Array:
    """Logits ``(N, classes)``, averaged over positions if the output has any."""
    if output.ndim == 1:
        return xp.reshape(output, (-1, 1))
    return xp.mean(xp.reshape(output, (output.shape[0], -1, output.shape[-1])), axis=1)
