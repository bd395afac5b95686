"""Find the operations of a model that compute attention, in a pass that intercepts all operations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from phosphene.errors import PhospheneError
from phosphene_torch.attention import HEADED, SOFTMAX, AttentionMode, Key
from phosphene_torch.axes import tensors
from phosphene_torch.batch_axis import Candidate
from phosphene_torch.contractions import CONTRACTIONS

__all__ = ["AttentionSearch"]


class AttentionSearch(AttentionMode):
    """A mode that finds attention; an explicit softmax counts only if it is multiplied with values.

    Parameters
    ----------
    stack : list of str
        Paths of the running modules.
    note : callable
        Takes a call, the running modules and weights, and returns their candidate, or None.
    """

    def __init__(
        self, stack: list[str], note: Callable[[Key, tuple[str, ...], torch.Tensor], Candidate | None]
    ) -> None:
        super().__init__(stack, lambda key: True, self._seen)
        self._modules, self._note = stack, note
        self._weighing: Any = WeakTensorKeyDictionary()
        self._returned: Any = WeakTensorKeyDictionary()
        self._last: Candidate | None = None

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor consists of attention weights, which are a layer of their own."""
        candidate: Candidate | None = self._weighing.get(tensor)
        return tensor in self._returned or (candidate is not None and candidate.weighs)

    def _seen(self, key: Key, weights: torch.Tensor) -> torch.Tensor:
        self._last = self._note(key, tuple(self._modules), weights)
        return weights

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        self._last = None
        try:
            result = super().__torch_function__(func, types, args, kwargs)
        except PhospheneError:
            raise
        except Exception:  # noqa: BLE001  (weights that cannot be found are no layer; the model's own exceptions come again)
            return func(*args, **(kwargs or {}))
        with contextlib.suppress(Exception):
            self._followed(func, args, kwargs or {}, result)
        return result

    def _followed(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        if func is HEADED and result[1] is not None:
            self._returned[result[1]] = True
        if func in SOFTMAX:
            if self._last is not None:
                self._last.weighs = False
                self._weighing[result] = self._last
            return
        given = [tensor for tensor in tensors((*args, *kwargs.values())) if tensor in self._weighing]
        if not given:
            return
        candidate: Candidate = self._weighing[given[0]]
        if getattr(func, "__name__", "") in CONTRACTIONS:
            candidate.weighs = True
            # The softmax may be a module of its own: the map belongs to the innermost module that runs both.
            both = [path for path, now in zip(candidate.stack, self._modules, strict=False) if path == now]
            candidate.path = both[-1] if both else ""
        else:
            for out in tensors(result):
                if out.numel() == given[0].numel():
                    self._weighing[out] = candidate
