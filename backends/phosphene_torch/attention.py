"""Read and edit attention maps, however a module computes attention.

Three ways are supported: `scaled_dot_product_attention`, whose weights are recomputed from its inputs; an explicit ``softmax``
whose result is multiplied with the values; and `multi_head_attention_forward`, which can return its weights.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from phosphene_torch.rules import paused

__all__ = ["SOFTMAX", "AttentionMode", "Key"]

Key: TypeAlias = tuple[str, int]
"""A call: the innermost running module, and the number of its earlier calls in this pass."""

SDPA = F.scaled_dot_product_attention
HEADED = F.multi_head_attention_forward
SOFTMAX = frozenset({F.softmax, torch.softmax, torch.Tensor.softmax, torch.special.softmax})

_SDPA_NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_HEADED_SIGNATURE = inspect.signature(HEADED)


class AttentionMode(TorchFunctionMode):
    """A mode that passes attention weights to a callback, and continues with the weights that it returns.

    Parameters
    ----------
    stack : sequence of str
        Paths of the running modules; see `phosphene_torch.hooks.running`.
    wanted : callable
        Returns whether a call is to be passed on.
    take : callable
        Takes the call and its weights (N, heads, queries, keys), and returns the weights to use.
    """

    def __init__(
        self,
        stack: Sequence[str],
        wanted: Callable[[Key], bool],
        take: Callable[[Key, torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__()
        self._stack, self._wanted, self._take = stack, wanted, take
        self._calls: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        try:
            attend = _ways(func, args, kwargs)
        except Exception:  # noqa: BLE001  (a call that is not understood is the model's own affair)
            attend = None
        if attend is None:
            return func(*args, **kwargs)
        path = self._stack[-1] if self._stack else ""
        key = (path, self._calls[path])
        self._calls[path] += 1
        if not self._wanted(key):
            return func(*args, **kwargs)
        return attend(func, args, kwargs, lambda weights: self._take(key, weights))


Way: TypeAlias = Callable[[Any, tuple[Any, ...], Mapping[str, Any], Callable[[torch.Tensor], torch.Tensor]], Any]


def _ways(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Way | None:
    """Return how to obtain the weights of a call; None if it is not attention with heads."""
    if func is SDPA:
        query = args[0] if args else kwargs["query"]
        return _from_inputs if query.ndim == 4 else None
    if func in SOFTMAX:
        scores = args[0] if args else kwargs["input"]
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        return _as_made if scores.ndim == 4 and dim in (-1, 3) else None
    if func is HEADED:
        query = args[0] if args else kwargs["query"]
        return _asked_for if query.ndim == 3 else None
    return None


def _as_made(func: Any, args: Any, kwargs: Any, take: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return take(func(*args, **kwargs))


def _from_inputs(func: Any, args: Any, kwargs: Any, take: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    given = {**dict(zip(_SDPA_NAMES, args, strict=False)), **kwargs}
    with paused():
        weights = _weights(given)
    edited = take(weights)
    if edited is weights:
        return func(*args, **kwargs)
    return edited @ _for_heads(given["value"], edited.shape[1])


def _weights(given: Mapping[str, Any]) -> torch.Tensor:
    """The weights of `scaled_dot_product_attention`, without dropout."""
    query: torch.Tensor = given["query"]
    mask: torch.Tensor | None = given.get("attn_mask")
    key = _for_heads(given["key"], query.shape[1])
    scale = given.get("scale")
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if given.get("is_causal", False):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is None:
        return scores.softmax(dim=-1)
    scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    # A query for which all keys are masked gets weights of 0, as in the fused operation, instead of NaN.
    nowhere = (scores == -math.inf).all(dim=-1, keepdim=True)
    return scores.masked_fill(nowhere, 0.0).softmax(dim=-1).masked_fill(nowhere, 0.0)


def _for_heads(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Repeat keys or values that several heads share."""
    return tensor if tensor.shape[1] in (1, heads) else tensor.repeat_interleave(heads // tensor.shape[1], dim=1)


def _asked_for(func: Any, args: Any, kwargs: Any, take: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    given = _HEADED_SIGNATURE.bind(*args, **kwargs)
    given.apply_defaults()
    named = given.arguments
    with paused():
        _, weights = func(**{**named, "need_weights": True, "average_attn_weights": False, "dropout_p": 0.0})
    edited = take(weights)
    if edited is weights:
        return func(*args, **kwargs)
    returned = None if not named["need_weights"] else edited.mean(1) if named["average_attn_weights"] else edited
    return _headed(edited, named), returned


def _headed(weights: torch.Tensor, named: Mapping[str, Any]) -> torch.Tensor:
    """The output of `multi_head_attention_forward` for other weights (N, heads, queries, keys)."""
    count, heads = weights.shape[:2]
    bias = named["in_proj_bias"]
    bias = None if bias is None else bias.chunk(3)[2]
    weight = named["v_proj_weight"] if named["use_separate_proj_weight"] else named["in_proj_weight"].chunk(3)[2]
    value = F.linear(named["value"], weight, bias)  # (keys, N, C)
    if named["bias_v"] is not None:
        value = torch.cat([value, named["bias_v"].expand(1, count, -1)])
    split = value.reshape(-1, count, heads, value.shape[-1] // heads).permute(1, 2, 0, 3)
    if named["static_v"] is not None:
        split = named["static_v"].unflatten(0, (count, heads))
    if named["add_zero_attn"]:
        split = F.pad(split, (0, 0, 0, 1))
    merged = (weights @ split).permute(2, 0, 1, 3).flatten(2)  # (queries, N, C)
    return F.linear(merged, named["out_proj_weight"], named["out_proj_bias"])
