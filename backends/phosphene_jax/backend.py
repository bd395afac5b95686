"""JAX's transformations, arrays and devices, as the contract wants them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Backend, InputSpec, Interface, Network, Rule, backend_named
from phosphene.errors import InvalidParameter, MissingDependency
from phosphene.types import Array, Namespace, Size, Tree
from phosphene_jax.adapters import adapter_of
from phosphene_jax.interpolation import warp
from phosphene_jax.network import JaxNetwork, device_named
from phosphene_jax.optimizers import OptaxOptimizer
from phosphene_jax.rules import nonlinearities, with_rule

__all__ = ["JaxBackend"]

PROGRAMS = 32
"""Compiled programs that are kept."""

FILLED = 16
"""On a CPU, what a loop goes along is filled up to a multiple of this length: other lengths are no other programs."""


class JaxBackend(Backend):
    """See `phosphene.backend.Backend`."""

    name = "jax"
    xp: Namespace = jnp
    compiled = True

    def __init__(self) -> None:
        self._programs: OrderedDict[Any, Any] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        # There is one of it, with the programs that it has compiled.
        return backend_named, (self.name,)

    def owns(self, model: object) -> bool:
        return adapter_of(model) is not None

    def wrap(
        self,
        model: Any,
        *,
        input: InputSpec,
        interface: Interface | None = None,
        classes: Sequence[str] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        name: str | None = None,
    ) -> Network:
        interface = interface or Interface()
        return JaxNetwork(
            self, model, input=input, interface=interface, classes=classes, device=device, dtype=dtype, name=name
        )

    def build(self, architecture: Any, weights: Mapping[str, NDArray[Any]]) -> Any:
        try:
            from phosphene_jax.specimen import build
        except ModuleNotFoundError as error:
            raise MissingDependency(error.name or "flax", "jax") from error
        return build(architecture, weights)

    def is_array(self, value: object) -> bool:
        return isinstance(value, jax.Array)

    def from_numpy(self, array: NDArray[Any], *, device: str, dtype: str) -> Array:
        host = np.array(array)
        if np.issubdtype(host.dtype, np.floating):
            host = host.astype(jnp.dtype(dtype))
        return jax.device_put(jnp.array(host), device_named(device))

    def to_numpy(self, array: Array, *, copy: bool = True) -> NDArray[Any]:
        host = np.array(array, copy=copy or None)
        return host.astype(np.float32) if host.dtype in (jnp.bfloat16, np.float16) else host

    def grad(self, f: Callable[[Tree], tuple[Array, Tree]]) -> Callable[[Tree], tuple[Tree, Tree]]:
        gradient: Callable[[Tree], tuple[Tree, Tree]] = jax.grad(f, has_aux=True)
        return gradient

    def jvp(self, f: Callable[[Array], Tree]) -> Callable[[Array, Array], tuple[Tree, Tree]]:
        def derivative(x: Array, tangent: Array) -> tuple[Tree, Tree]:
            value, change = jax.jvp(f, (x,), (tangent,))
            return value, change

        return derivative

    def run(self, f: Callable[..., Tree], *arguments: Tree) -> Tree:
        return self._program(("run", f), lambda: jax.jit(f))(*arguments)

    def loop(
        self, step: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]], constants: Tree, carry: Tree, xs: Tree
    ) -> tuple[Tree, Tree]:
        # Moved once here, not at each step.
        constants, xs = (jax.tree.map(jnp.asarray, tree) for tree in (constants, xs))
        carry = _own(jax.tree.map(jnp.asarray, carry), (constants, xs))
        devices = [device for leaf in jax.tree.leaves(carry) for device in leaf.devices()] or jax.devices()
        if devices[0].platform == "cpu":
            return self._loop_from_python(step, constants, carry, xs)

        def scan(constants: Tree, carry: Tree, xs: Tree) -> tuple[Tree, Tree]:
            return jax.lax.scan(lambda state, x: step(constants, state, x), carry, xs)

        result: tuple[Tree, Tree] = self._program(("scan", step), lambda: jax.jit(scan, donate_argnums=1))(
            constants, carry, xs
        )
        return result

    def _loop_from_python(self, step: Any, constants: Tree, carry: Tree, xs: Tree) -> tuple[Tree, Tree]:
        """On a CPU, XLA's convolutions lose their threads inside a loop: the same step ran 4.5 times slower in a scan."""

        def one(constants: Tree, carry: Tree, xs: Tree, index: Array) -> tuple[Tree, Tree]:
            # The whole of xs goes in and is indexed inside: slicing it outside is one dispatch a leaf and step.
            x = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), xs)
            result: tuple[Tree, Tree] = step(constants, carry, x)
            return result

        program = self._program(("step", step), lambda: jax.jit(one, donate_argnums=1))
        length, filled = jax.tree.leaves(xs)[0].shape[0], jax.tree.map(_filled, xs)
        seen: list[Tree] = []
        for index in range(length):
            carry, y = program(constants, carry, filled, np.int32(index))
            seen.append(y)
        if not seen:
            shapes = jax.eval_shape(
                lambda: step(constants, carry, jax.tree.map(lambda x: jnp.zeros_like(x, shape=x.shape[1:]), xs))
            )
            return carry, jax.tree.map(lambda y: jnp.zeros((0, *y.shape), y.dtype), shapes[1])
        # Stacked on the host, which costs no compilation for each length of a chunk.
        return carry, jax.tree.map(lambda *ys: jnp.asarray(np.stack([np.asarray(y) for y in ys])), *seen)

    def warp(self, images: Array, matrices: Array, size: Size, *, fill: float, kind: str = "general") -> Array:
        return warp(images, matrices, size, fill=fill, kind=kind)

    def with_rule(self, rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
        return with_rule(rule, f)

    def nonlinearities(self, f: Callable[[Array], Tree], x: Array) -> Mapping[str, int]:
        return nonlinearities(f, x)

    def optimizer(self, foreign: Any) -> OptaxOptimizer:
        if not (hasattr(foreign, "init") and hasattr(foreign, "update")):
            raise InvalidParameter(
                "optimizer",
                allowed="ph.optimizers.adam, ph.optimizers.sgd or an optax GradientTransformation",
                received=foreign,
                fix="For example optax.adam(0.05).",
            )
        return OptaxOptimizer(foreign)

    def devices(self) -> Sequence[str]:
        other = dict.fromkeys(device.platform for device in jax.local_devices() if device.platform != "cpu")
        return ["cpu", *(f"{name}:{jax.local_devices(backend=name)[0].id}" for name in other)]

    def memory(self, device: str, *, reset: bool = False) -> tuple[int, int] | None:
        told = device_named(device).memory_stats()
        return (
            (int(told["bytes_in_use"]), int(told["peak_bytes_in_use"]))
            if told and "peak_bytes_in_use" in told
            else None
        )

    def _program(self, key: Any, make: Callable[[], Any]) -> Any:
        """A compiled program by value of the function it came from; the least recently used one is dropped."""
        if key not in self._programs:
            self._programs[key] = make()
            if len(self._programs) > PROGRAMS:
                self._programs.popitem(last=False)
        self._programs.move_to_end(key)
        return self._programs[key]


def _filled(leaf: jax.Array) -> jax.Array:
    """A leaf with rows, copies of its last, behind its own; on the host, since a device would compile that for each length."""
    more = -leaf.shape[0] % FILLED
    if not more or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    rows = np.asarray(leaf)
    result: jax.Array = jax.device_put(
        jnp.asarray(np.concatenate([rows, np.repeat(rows[-1:], more, axis=0)])), leaf.sharding
    )
    return result


def _own(carry: Tree, others: Tree) -> Tree:
    """`carry` with a copy of each leaf that shares its memory with another leaf: a buffer can be donated once, and not kept too."""

    def memory(leaf: Any) -> Any:
        whole = isinstance(leaf, jax.Array) and len(leaf.devices()) == 1
        plain = whole and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return leaf.unsafe_buffer_pointer() if plain else id(leaf)

    seen = {memory(leaf) for leaf in jax.tree.leaves(others)}

    def own(leaf: Any) -> Any:
        place = memory(leaf)
        if place in seen:
            return leaf.copy()
        seen.add(place)
        return leaf

    return jax.tree.map(own, carry)
