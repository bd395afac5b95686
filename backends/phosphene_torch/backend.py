"""PyTorch's transformations, arrays and devices, as the contract wants them."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import array_api_compat.torch as array_api
import numpy as np
import torch
import torch.nn.attention
import torch.nn.functional as F
from numpy.typing import NDArray

from phosphene.arrays import tree_leaves, tree_map
from phosphene.backend import Backend, InputSpec, Interface, Network, Rule, backend_named
from phosphene.errors import InvalidParameter, PhospheneError
from phosphene.failures import model_failed
from phosphene.types import Array, Namespace, Size, Tree
from phosphene_torch.execution import NormalTensors, normal, normal_mode
from phosphene_torch.interpolation import warp
from phosphene_torch.memory import kept
from phosphene_torch.network import TorchNetwork
from phosphene_torch.optimizers import TorchOptimizer, optimizer_of
from phosphene_torch.placement import device_named, dtype_named
from phosphene_torch.rules import nonlinearities, with_rule

__all__ = ["TorchBackend"]


class TorchBackend(Backend):
    """See `phosphene.backend.Backend`."""

    name = "torch"
    xp: Namespace = array_api
    compiled = False

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of a network has this backend, not a copy of it.
        return backend_named, (self.name,)

    def owns(self, model: object) -> bool:
        """Whether `model` is a module, a compiled one included."""
        return isinstance(model, torch.nn.Module)

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
        """See `phosphene.backend.Backend.wrap`."""
        return TorchNetwork(
            self,
            model,
            input=input,
            interface=interface or Interface(),
            classes=classes,
            device=device,
            dtype=dtype,
            name=name,
        )

    def build(self, architecture: Any, weights: Mapping[str, NDArray[Any]]) -> torch.nn.Module:
        """See `phosphene.backend.Backend.build`."""
        from phosphene_torch.specimen import build

        return build(architecture, weights)

    def is_array(self, value: object) -> bool:
        """See `phosphene.backend.Backend.is_array`."""
        return isinstance(value, torch.Tensor)

    def from_numpy(self, array: NDArray[Any], *, device: str, dtype: str) -> torch.Tensor:
        """See `phosphene.backend.Backend.from_numpy`."""
        with normal_mode():
            tensor = torch.from_numpy(np.array(array))
            # The type first: not every device has float64.
            tensor = tensor.to(dtype_named(dtype)) if tensor.is_floating_point() else tensor
            return tensor.to(device_named(device))

    def to_numpy(self, array: Array, *, copy: bool = True) -> NDArray[Any]:
        """See `phosphene.backend.Backend.to_numpy`."""
        tensor = array.detach()
        if tensor.dtype in (torch.bfloat16, torch.float16):
            tensor = tensor.float()
        # On the CPU .cpu() is no copy: what aliases the model's memory would change under the user.
        result: NDArray[Any] = np.array(tensor.cpu().numpy(), copy=copy or None)
        return result

    def grad(self, f: Callable[[Tree], tuple[Array, Tree]]) -> Callable[[Tree], tuple[Tree, Tree]]:
        """See `phosphene.backend.Backend.grad`; no tensor's ``.grad`` is touched."""

        def gradient(tree: Tree) -> tuple[Tree, Tree]:
            # Inside torch.inference_mode every gradient would be zero, without a word; what `f` holds may be made there.
            copies = NormalTensors() if torch.is_inference_mode_enabled() else contextlib.nullcontext()
            with torch.inference_mode(False), torch.enable_grad(), copies:
                inputs = tree_map(_leaf, tree)
                total, aux = f(inputs)
                leaves = tree_leaves(inputs)
                found: Sequence[torch.Tensor | None] = [None] * len(leaves)
                if total.requires_grad and leaves:
                    found = _differentiated(total, leaves)
            filled = iter([torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)])
            return tree_map(lambda _: next(filled), tree), tree_map(_detached, aux)

        return gradient

    def jvp(self, f: Callable[[Array], Tree]) -> Callable[[Array, Array], tuple[Tree, Tree]]:
        """See `phosphene.backend.Backend.jvp`."""

        def derivative(x: Array, tangent: Array) -> tuple[Tree, Tree]:
            # The fused kernels of attention have no forward mode.
            with torch.inference_mode(False), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
                value, change = torch.func.jvp(f, (x,), (tangent,))[:2]
            return value, change

        return derivative

    def run(self, f: Callable[..., Tree], *arguments: Tree) -> Tree:
        """See `phosphene.backend.Backend.run`."""
        with normal_mode(), torch.no_grad(), kept():
            return f(*tree_map(normal, arguments))

    def loop(
        self, step: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]], constants: Tree, carry: Tree, xs: Tree
    ) -> tuple[Tree, Tree]:
        """See `phosphene.backend.Backend.loop`; a loop of Python, which waits for no device."""
        leaves = tree_leaves(xs)
        steps = int(leaves[0].shape[0]) if leaves else 0
        if steps < 1 or any(leaf.shape[0] != steps for leaf in leaves):
            lengths = [int(leaf.shape[0]) for leaf in leaves]
            raise InvalidParameter(
                "xs",
                allowed="leading axes of one length, at least 1",
                received=lengths,
                fix="Give one row per step in every leaf.",
            )
        seen = []
        with normal_mode(), torch.no_grad(), kept():
            constants, carry, xs = tree_map(normal, (constants, carry, xs))
            for index in range(steps):
                carry, y = step(constants, carry, tree_map(operator.itemgetter(index), xs))
                seen.append(y)
            return carry, tree_map(lambda *rows: torch.stack(rows), *seen)

    def warp(self, images: Array, matrices: Array, size: Size, *, fill: float, kind: str = "general") -> Array:
        """See `phosphene.backend.Backend.warp`.

        Whole-pixel shifts are crops where the matrices are on the host; all else goes through ``grid_sample``, which was
        faster than core's roads also for the kinds that they are meant for.
        """
        if kind == "shift" and matrices.device.type == "cpu" and images.device.type == "cpu":
            return _shifted(images, matrices, size, fill)
        if images.is_cuda and torch.are_deterministic_algorithms_enabled():
            # The backward pass of grid_sample adds in any order on CUDA, and is refused then.
            return super().warp(images, matrices, size, fill=fill, kind=kind)
        # Half precision does not hold coordinates: 8 bits end at pixel 256.
        precise = torch.promote_types(images.dtype, torch.float32)
        warped = warp(images.to(precise), matrices.to(precise), size, fill=fill)
        return warped.to(images.dtype)

    def with_rule(self, rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
        """See `phosphene.backend.Backend.with_rule`."""
        return with_rule(rule, f)

    def nonlinearities(self, f: Callable[[Array], Tree], x: Array) -> Mapping[str, int]:
        """See `phosphene.backend.Backend.nonlinearities`."""
        return nonlinearities(f, x)

    def optimizer(self, foreign: Any) -> TorchOptimizer:
        """See `phosphene.backend.Backend.optimizer`."""
        return optimizer_of(foreign)

    def devices(self) -> Sequence[str]:
        """See `phosphene.backend.Backend.devices`."""
        cuda, metal = torch.cuda.is_available(), torch.backends.mps.is_available()
        return ["cpu", *(["cuda:0"] if cuda else []), *(["mps"] if metal else [])]

    def memory(self, device: str, *, reset: bool = False) -> tuple[int, int] | None:
        """See `phosphene.backend.Backend.memory`; told of CUDA devices."""
        if not device.startswith("cuda"):
            return None
        if reset:
            torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)


def _shifted(images: torch.Tensor, matrices: torch.Tensor, size: Size, fill: float) -> torch.Tensor:
    """Each image cropped and padded: negative padding crops, and its backward pass is a padding again, not a scatter."""
    _, height, width, _ = images.shape
    rows = []
    for image, (left, top) in zip(images, matrices[:, :, 2].tolist(), strict=True):
        # All windows that lie outside show the same, but what is cropped may not be more than there is.
        x, y = min(max(int(left), -size[1]), width), min(max(int(top), -size[0]), height)
        rows.append(F.pad(image, (0, 0, -x, size[1] + x - width, -y, size[0] + y - height), value=fill))
    return torch.stack(rows)


def _differentiated(total: torch.Tensor, leaves: Sequence[torch.Tensor]) -> Sequence[torch.Tensor | None]:
    try:
        return torch.autograd.grad(total, leaves, allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        if isinstance(error, PhospheneError):
            raise
        raise model_failed(
            "The model", error, doing="in its backward pass, for a gradient with respect to its images", advice=""
        ) from error


def _leaf(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.clone() if tensor.is_inference() else tensor.detach()).requires_grad_()


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf
