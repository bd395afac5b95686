"""Optax transformations, mapped over targets so that each counts its own steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from phosphene.types import Array, Namespace, Tree

__all__ = ["OptaxOptimizer"]


@dataclass(frozen=True)
class OptaxOptimizer:
    """An optax ``GradientTransformation`` as a `phosphene.optimizers.Optimizer`.

    Attributes
    ----------
    transformation : optax.GradientTransformation
    """

    transformation: Any

    def init(self, xp: Namespace, parameters: Array) -> Tree:
        # Flat, since the trees of core have no named tuples.
        return tuple(jnp.array(leaf) for leaf in jax.tree.leaves(jax.vmap(self.transformation.init)(parameters)))

    def update(
        self, xp: Namespace, gradient: Array, state: Tree, parameters: Array, clock: Array
    ) -> tuple[Array, Tree]:
        shape = jax.eval_shape(jax.vmap(self.transformation.init), parameters)
        whole = jax.tree.unflatten(jax.tree.structure(shape), state)
        change, whole = jax.vmap(self.transformation.update)(-gradient, whole, parameters)  # optax descends
        return parameters + change, tuple(jax.tree.leaves(whole))

    def restart(self, xp: Namespace, state: Tree, parameters: Array, rows: Sequence[bool]) -> Tree:
        fresh = self.init(xp, parameters)
        chosen = np.asarray(rows)

        def choose(old: Array, new: Array) -> Array:
            return jnp.where(chosen.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

        return tuple(choose(old, new) for old, new in zip(state, fresh, strict=True))

    def take(self, xp: Namespace, state: Tree, rows: Sequence[int]) -> Tree:
        return tuple(leaf[np.asarray(rows)] for leaf in state)
