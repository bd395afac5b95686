"""How a model runs in one pass: uncompiled, without checkpoints, outside of inference mode, and without cuDNN's recurrence.

Each of these is a setting with which a user trains or deploys a model, and which does not change the values that it computes,
but keeps them from being read or differentiated.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import torch
import torch.utils.checkpoint as checkpointing
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from phosphene_torch.axes import tensors

__all__ = ["NormalTensors", "WithoutCudnnRecurrence", "as_written", "concerns_inference", "normal", "normal_mode"]

_direct: ContextVar[bool] = ContextVar("phosphene_torch_direct", default=False)


class Shared:
    """A change of the whole process, in place as long as any thread needs it.

    Two threads that each set and restored a global on their own would restore what the other has set.

    Parameters
    ----------
    change : callable
        Makes a change, and returns the function that takes it back.
    """

    def __init__(self, change: Callable[[], Callable[[], None]]) -> None:
        self._change, self._lock, self._count = change, threading.Lock(), 0
        self._back: Callable[[], None] | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A context in which the change is in place."""
        with self._lock:
            if self._count == 0:
                self._back = self._change()
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if self._count == 0 and self._back is not None:
                    self._back()
                    self._back = None


def _eager() -> Callable[[], None]:
    stance = torch.compiler.set_stance("force_eager")
    stance.__enter__()
    return lambda: stance.__exit__(None, None, None)


def _uncheckpointed() -> Callable[[], None]:
    """Replace what ``torch.utils.checkpoint.checkpoint`` looks up when it is called.

    Models import the function itself, so that the name in its module is not what they call. Only passes of this package are
    affected: elsewhere the replacements do what they replace.
    """
    reentrant = checkpointing.CheckpointFunction
    generator = checkpointing._checkpoint_without_reentrant_generator

    class Reentrant(reentrant):  # type: ignore[misc, valid-type]
        @classmethod
        def apply(cls, function: Callable[..., Any], preserve: bool, *inputs: Any) -> Any:
            apply: Callable[..., Any] = (
                function if _direct.get() else functools.partial(reentrant.apply, function, preserve)
            )
            return apply(*inputs)

    def without_reentrant(*args: Any, **kwargs: Any) -> Iterator[Any]:
        if _direct.get():
            yield
        else:
            yield from generator(*args, **kwargs)

    checkpointing.CheckpointFunction = Reentrant  # type: ignore[misc]
    checkpointing._checkpoint_without_reentrant_generator = without_reentrant

    def back() -> None:
        checkpointing.CheckpointFunction = reentrant  # type: ignore[misc]
        checkpointing._checkpoint_without_reentrant_generator = generator

    return back


_EAGER, _UNCHECKPOINTED = Shared(_eager), Shared(_uncheckpointed)


@contextlib.contextmanager
def as_written() -> Iterator[None]:
    """A context in which a model runs operation by operation, whether it is compiled or checkpointed.

    A compiled function would be traced together with hooks and modes, or run without them. A checkpoint runs once more in the
    backward pass, where hooks, modes and frozen parameters are gone, and the older of PyTorch's two kinds keeps no gradient of
    what is read inside.
    """
    with contextlib.ExitStack() as stack:
        # What was compiled has imported Dynamo, which takes seconds; the function is missing before PyTorch 2.6.
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(_EAGER.held())
        stack.enter_context(_UNCHECKPOINTED.held())
        token = _direct.set(True)
        try:
            yield
        finally:
            _direct.reset(token)


@contextlib.contextmanager
def normal_mode() -> Iterator[None]:
    """A context outside of ``torch.inference_mode``, with gradients switched off if the mode was on.

    Tensors made in that mode can never take part in a gradient, also after it.
    """
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


def normal(value: Any) -> Any:
    """Return a copy of a tensor that was made in inference mode, which takes part in gradients; all else as it is."""
    if not (isinstance(value, torch.Tensor) and value.is_inference()):
        return value
    with torch.inference_mode(False), torch.no_grad():
        return value.clone()


def concerns_inference(error: BaseException) -> bool:
    """Whether an operation failed because a tensor was made in inference mode."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("inference tensor" in text or "inferencemode" in text)


class NormalTensors(TorchFunctionMode):
    """A mode that gives operations a copy of each tensor that was made in inference mode.

    Weights and buffers may be such tensors, and so may what a model keeps elsewhere, such as a table of positions that it fills
    when it first runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._copies: Any = WeakTensorKeyDictionary()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # What is asked about a tensor, such as its shape or whether it was made in inference mode, needs no copy.
        if getattr(func, "__name__", "") in ("__get__", "is_inference", "clone"):
            return func(*args, **kwargs)
        if any(tensor.is_inference() for tensor in tensors((args, kwargs))):
            args, kwargs = self._copied(args), self._copied(kwargs)
        return func(*args, **kwargs)

    def _copied(self, tree: Any) -> Any:
        if isinstance(tree, torch.Tensor):
            if not tree.is_inference():
                return tree
            if tree not in self._copies:
                self._copies[tree] = normal(tree)
            return self._copies[tree]
        if isinstance(tree, Mapping):
            return {key: self._copied(value) for key, value in tree.items()}
        if isinstance(tree, (tuple, list)) and not hasattr(tree, "_fields"):
            return type(tree)([self._copied(value) for value in tree])
        return tree


RECURRENCES = frozenset({torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu})


class WithoutCudnnRecurrence(TorchFunctionMode):
    """A mode that runs recurrent operations without cuDNN, whose backward pass exists in training mode only."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in RECURRENCES and torch.backends.cudnn.enabled:
            # The other settings of cuDNN have no effect on these operations.
            with torch.backends.cudnn.flags(enabled=False):
                return func(*args, **kwargs)
        return func(*args, **kwargs)
