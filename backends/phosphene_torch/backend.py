"""PyTorch's transformations, arrays and devices, as the contract wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray

from phosphene.arrays import tree_leaves, tree_map
from phosphene.backend import InputSpec, Network, Rule
from phosphene.errors import InvalidParameter
from phosphene.types import Array, Size, Tree
from phosphene_torch.network import TorchNetwork, device_named, dtype_named
from phosphene_torch.optimizers import TorchOptimizer
from phosphene_torch.resampling import warp
from phosphene_torch.rules import nonlinearities, with_rule

__all__ = ["TorchBackend"]


class TorchBackend:
    """See `phosphene.backend.Backend`."""

    name = "torch"
    xp = xp
    compiled = False

    def owns(self, model: object) -> bool:
        return isinstance(model, torch.nn.Module)

    def wrap(
        self,
        model: Any,
        *,
        input: InputSpec,
        classes: Sequence[str] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        name: str | None = None,
        channel_axis: Mapping[str, int] | None = None,
    ) -> Network:
        return TorchNetwork(
            self, model, input=input, classes=classes, device=device, dtype=dtype, name=name, channel_axis=channel_axis
        )

    def build(self, architecture: Any, weights: Mapping[str, NDArray[Any]]) -> torch.nn.Module:
        from phosphene_torch.specimen import build

        return build(architecture, weights)

    def from_numpy(self, array: NDArray[Any], *, device: str, dtype: str) -> torch.Tensor:
        tensor = torch.as_tensor(np.array(array), device=device_named(device))
        return tensor.to(dtype_named(dtype)) if tensor.is_floating_point() else tensor

    def to_numpy(self, array: Array) -> NDArray[Any]:
        tensor = array.detach()
        if tensor.dtype in (torch.bfloat16, torch.float16):
            tensor = tensor.float()
        # On the CPU .cpu() is no copy: what aliases the model's memory would change under the user.
        result: NDArray[Any] = np.array(tensor.cpu().numpy())
        return result

    def grad(self, f: Callable[[Tree], tuple[Array, Tree]]) -> Callable[[Tree], tuple[Tree, Tree]]:
        def gradient(tree: Tree) -> tuple[Tree, Tree]:
            with torch.enable_grad():
                inputs = tree_map(lambda leaf: leaf.detach().requires_grad_(), tree)
                total, aux = f(inputs)
                leaves = tree_leaves(inputs)
                if total.requires_grad:
                    found = torch.autograd.grad(total, leaves, allow_unused=True)
                else:
                    found = tuple(None for _ in leaves)
            filled = iter([torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)])
            return tree_map(lambda _: next(filled), tree), tree_map(_detached, aux)

        return gradient

    def jvp(self, f: Callable[[Array], Tree]) -> Callable[[Array, Array], tuple[Tree, Tree]]:
        def derivative(x: Array, tangent: Array) -> tuple[Tree, Tree]:
            value, change = torch.func.jvp(f, (x,), (tangent,))
            return value, change

        return derivative

    def run(self, f: Callable[..., Tree], *arguments: Tree) -> Tree:
        with torch.no_grad():
            return f(*arguments)

    def loop(
        self, step: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]], constants: Tree, carry: Tree, xs: Tree
    ) -> tuple[Tree, Tree]:
        seen = []
        with torch.no_grad():
            for index in range(tree_leaves(xs)[0].shape[0]):
                carry, y = step(constants, carry, tree_map(lambda leaf, index=index: leaf[index], xs))
                seen.append(y)
            return carry, tree_map(lambda *leaves: torch.stack(leaves), *seen)

    def warp(self, images: Array, matrices: Array, size: Size, *, fill: float, kind: str = "general") -> Array:
        return warp(images, matrices, size, fill=fill, kind=kind)

    def with_rule(self, rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
        return with_rule(rule, f)

    def nonlinearities(self, f: Callable[[Array], Tree], x: Array) -> Mapping[str, int]:
        return nonlinearities(f, x)

    def optimizer(self, foreign: Any) -> TorchOptimizer:
        if not callable(foreign):
            raise InvalidParameter(
                "optimizer", allowed="ph.adam, ph.sgd or a torch.optim factory such as torch.optim.Adam", received=foreign,
                fix="functools.partial(torch.optim.Adam, lr=0.05) sets its options.",
            )  # fmt: skip
        return TorchOptimizer(foreign)


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf
