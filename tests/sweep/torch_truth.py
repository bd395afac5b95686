"""What a PyTorch module computes, by hooks that know nothing of phosphene, and the state that must stay as it is."""

from __future__ import annotations

import contextlib
import copy
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sweep.truth import Seen

__all__ = ["plain_run", "plain_slope", "state"]


def plain_run(model: Any, images: Any, inputs: Callable[[Any], Any] | None) -> dict[str, Seen]:
    """Run a module on normalised images (N, H, W, C), and return what its modules returned, by path and number of the call.

    Of several tensors that a module returns each has its index or key in brackets. What is another value at every call, because
    the module draws random numbers, is left out.
    """
    import torch

    runs = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            runs.append(_run(model, images, inputs))
    first, second = runs
    return {path: seen for path, seen in first.items() if path in second and _equal(seen, second[path])}


def _equal(one: Seen, other: Seen) -> bool:
    return one.value.shape == other.value.shape and np.allclose(
        one.value, other.value, rtol=1e-4, atol=1e-6, equal_nan=True
    )


def _run(model: Any, images: Any, inputs: Callable[[Any], Any] | None) -> dict[str, Seen]:
    import torch

    seen: dict[str, Seen] = {}
    calls: Counter[str] = Counter()
    handles, mixers = [], set()

    def hook_of(path: str) -> Any:
        def hook(module: Any, given: Any, returned: Any) -> None:
            number, calls[path] = calls[path], calls[path] + 1
            if any(isinstance(item, torch.Tensor) and item.ndim == 3 and item.stride(-1) != 1 for item in given):
                mixers.add(path)
            name = path + (f"#{number}" if number else "")
            for part, tensor in _tensors(returned):
                seen[name + part] = Seen(
                    type(module).__name__, tensor.detach().cpu().numpy().copy(), _axis(module, tensor)
                )

        return hook

    for path, module in model.named_modules():
        if path:
            handles.append(module.register_forward_hook(hook_of(path)))
    batch = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    given = batch if inputs is None else inputs(batch)
    try:
        with torch.no_grad():
            returned = model(*given) if isinstance(given, tuple) else model(given)
    finally:
        for handle in handles:
            handle.remove()
    for name, found in seen.items():
        # What is given transposed tokens mixes them: its linear layers sum over positions, and channels stay where they are.
        if found.kind == "Linear" and any(f"{name}.".startswith((f"{path}.", f"{path}#")) for path in mixers):
            seen[name] = replace(found, axis=None)
    if isinstance(returned, torch.Tensor):
        seen["output"] = Seen("Output", returned.detach().numpy().copy(), None)
    return seen


def plain_slope(model: Any, images: Any, inputs: Callable[[Any], Any] | None) -> float | None:
    """The length of autograd's gradient of the first logit by the normalised images, in float64; None where there is none.

    It differs from the slope where a model takes values out of the graph, as detectors do between their decoder's layers.
    """
    import torch

    wide = copy.deepcopy(model).double()
    batch = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)).astype(np.float64)).requires_grad_()
    given = batch if inputs is None else inputs(batch)
    with _normalised_by_hand():
        returned = wide(*given) if isinstance(given, tuple) else wide(given)
    logits = returned if isinstance(returned, torch.Tensor) else getattr(returned, "logits", None)
    if logits is None:
        return None
    return float(torch.autograd.grad(logits[..., 0].mean(), batch)[0].norm())


@contextlib.contextmanager
def _normalised_by_hand() -> Iterator[None]:
    """A context in which batch normalisation is a product and a sum.

    On a CPU, the backward pass of ``batch_norm`` of torch 2.13 in evaluation mode is not its derivative where the gradient comes
    in as a transposed view.
    """
    import torch.nn.functional as F

    def batch_norm(
        input: Any,
        running_mean: Any,
        running_var: Any,
        weight: Any = None,
        bias: Any = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Any:
        shape = (1, -1, *(1,) * (input.ndim - 2))
        found = (input - running_mean.view(shape)) / (running_var.view(shape) + eps).sqrt()
        found = found if weight is None else found * weight.view(shape)
        return found if bias is None else found + bias.view(shape)

    original, F.batch_norm = F.batch_norm, batch_norm
    try:
        yield
    finally:
        F.batch_norm = original


def _tensors(returned: Any, part: str = "") -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(returned, torch.Tensor):
        if returned.is_floating_point():
            yield part, returned
    elif isinstance(returned, Mapping):
        for key, value in returned.items():
            yield from _tensors(value, f'{part}["{key}"]')
    elif isinstance(returned, (tuple, list)):
        for index, value in enumerate(returned):
            yield from _tensors(value, f"{part}[{index}]")


def _axis(module: Any, tensor: Any) -> int | None:
    """The channel axis that the class of a module fixes, or None."""
    from torch import nn

    second = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.InstanceNorm2d)
    last = (nn.Linear, nn.LayerNorm, nn.Embedding)
    # A subclass that computes in another way may have another layout, too, as a LayerNorm of channel-first maps.
    if not type(module).forward.__module__.startswith("torch."):
        return None
    if isinstance(module, second):
        return 1
    if isinstance(module, last):
        return int(tensor.ndim) - 1
    return None


def state(model: Any) -> list[Any]:
    """Everything about a module that a library could disturb."""
    import torch

    found: list[Any] = [torch.get_rng_state().numpy().tobytes()]
    for name, module in model.named_modules():
        hooks = [len(getattr(module, kind)) for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")]
        found.append((name, module.training, type(module).__name__, hooks))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        values = zlib.crc32(np.ascontiguousarray(tensor.detach().cpu().numpy()).reshape(-1).view(np.uint8))
        found.append((name, values, tensor.requires_grad, tensor.grad is None, tensor.stride(), tensor.data_ptr()))
    return found
