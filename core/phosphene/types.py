"""Type aliases.

Arrays of a framework are `Array`; core handles them only through an array-API namespace `xp`. Arrays on the
host are NumPy arrays. Images are always ``(N, H, W, C)``; activations are channel-last: ``(N, H, W, C)``, ``(N, T, C)`` or
``(N, C)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Activations", "Array", "Edit", "Floats", "Namespace", "Size", "Tree", "UserObjective"]

Array: TypeAlias = Any
"""An array of the framework in use: a `torch.Tensor`, a `jax.Array` or a tracer of one."""

Namespace: TypeAlias = Any
"""An array-API namespace: `array_api_compat.torch`, `jax.numpy`, `numpy`."""

Tree: TypeAlias = Any
"""Arrays in nested tuples and dictionaries, as `loop` and `grad` take them."""

Floats: TypeAlias = NDArray[np.floating[Any]]
"""A NumPy array of floats on the host."""

Size: TypeAlias = tuple[int, int]
"""Height and width in pixels."""

Activations: TypeAlias = Mapping[str, Array]
"""Layer path to channel-last activation."""

Edit: TypeAlias = Callable[[Namespace, Array], Array]
"""A change to a layer's activation during the forward pass: ``f(xp, activation) -> activation`` of the same shape."""

UserObjective: TypeAlias = Callable[[Namespace, Activations], Array]
"""A user's objective: ``f(xp, activations) -> (N,)``."""
