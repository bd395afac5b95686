"""Recognise rectified linear units among the calls of PyTorch: ReLU, ReLU6, clamps at zero, maxima with zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.weak import WeakTensorKeyDictionary

from phosphene.rules import Rectifier

__all__ = ["Call", "Rectifiers"]


@dataclass(frozen=True)
class Call:
    """A call that rectifies.

    Attributes
    ----------
    x : torch.Tensor
        The pre-activation.
    rectifier : Rectifier
    target : torch.Tensor, optional
        The tensor into which the result is written, of a call in place.
    whole : bool, default True
        Whether the call is the whole unit; False for one that clips what another one has rectified.
    gate : bool, default False
        Whether it is part of a hard sigmoid that a model spells out, ``relu6(x + 3) / 6``, and no unit of its own.
    """

    x: torch.Tensor
    rectifier: Rectifier
    target: torch.Tensor | None = None
    whole: bool = True
    gate: bool = False

    @property
    def name(self) -> str:
        """The name under which it is counted."""
        return "hardsigmoid" if self.gate else self.rectifier.name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The values of the unit."""
        return x.clamp(0, self.rectifier.ceiling) if self.rectifier.clipped else torch.relu(x)


@dataclass(frozen=True)
class _Bounds:
    """``min(max(x, low), high)``, and its derivatives at both kinks."""

    x: torch.Tensor
    low: float
    high: float
    at_low: float
    at_high: float
    in_place: bool = False


class Rectifiers:
    """Finds rectified linear units, also those that are written as one call for each end: ``F.relu(x).clamp(max=6)``."""

    def __init__(self) -> None:
        # By tensor: what it was made by, with its version, since a later call may change it in place.
        self._made: Any = WeakTensorKeyDictionary()
        self._shifted: Any = WeakTensorKeyDictionary()

    def found(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
        """Return the rectified linear unit that a call computes, or None."""
        bounds = _read(func, args, kwargs)
        if bounds is None:
            return None
        before = _current(self._made, bounds.x)
        joined = None if before is None else _joined(before, bounds)
        unit = joined or bounds
        if unit.low != 0 or not unit.high > 0:
            return None
        rectifier = Rectifier(unit.high, unit.at_low, unit.at_high)
        gate = _current(self._shifted, unit.x) == unit.high / 2
        return Call(unit.x, rectifier, bounds.x if bounds.in_place else None, joined is None, gate)

    def note(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any, call: Call | None) -> None:
        """Remember what a call returned, for the calls that follow."""
        if not isinstance(result, torch.Tensor):
            return
        if call is not None:
            unit = call.rectifier
            bounds = _Bounds(call.x, 0.0, unit.ceiling, unit.at_zero, unit.at_ceiling)
            self._made[result] = (result._version, bounds)
        elif func in ADDITIONS:
            numbers = [value for value in (*args, *kwargs.values()) if isinstance(value, (int, float))]
            if len(numbers) == 1:
                self._shifted[result] = (result._version, float(numbers[0]))
        else:
            upper = _read(func, args, kwargs)
            if upper is not None and not upper.in_place and upper.low == -math.inf:
                self._made[result] = (result._version, upper)


def _current(table: Any, tensor: torch.Tensor) -> Any:
    """The entry of a tensor that was not changed since."""
    version, value = table.get(tensor, (None, None))
    return value if version == tensor._version else None


def _read(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Bounds | None:
    read = READERS.get(func)
    if read is None:
        return None
    try:
        bounds = read(*args, **kwargs)
    except TypeError:  # another form of a function of that name, such as the maximum along an axis
        return None
    return (
        bounds if bounds is not None and isinstance(bounds.x, torch.Tensor) and bounds.x.is_floating_point() else None
    )


def _joined(first: _Bounds, then: _Bounds) -> _Bounds | None:
    """One call for two that follow each other, each of which has one of the ends."""
    if first.low == 0 and first.high == math.inf and then.low == -math.inf:
        return _Bounds(first.x, 0.0, then.high, first.at_low, then.at_high)
    if first.low == -math.inf and then.low == 0 and then.high == math.inf:
        return _Bounds(first.x, 0.0, first.high, then.at_low, first.at_high)
    return None


def _relu(input: Any, inplace: bool = False) -> _Bounds:
    return _Bounds(input, 0.0, math.inf, 0.0, 0.0, inplace)


def _threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> _Bounds | None:
    return _relu(input, inplace) if threshold == 0 and value == 0 else None


def _relu6(input: Any, inplace: bool = False) -> _Bounds:
    return _Bounds(input, 0.0, 6.0, 0.0, 0.0, inplace)


def _hardtanh(
    input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False, **spelling: float
) -> _Bounds | None:
    return _bounds(input, min_val, max_val, 0.0, inplace)


def _clamp(input: Any, min: Any = None, max: Any = None, *, out: Any = None) -> _Bounds | None:
    return None if out is not None else _bounds(input, min, max, 1.0)


def _clamp_min(input: Any, min: Any) -> _Bounds | None:
    return _bounds(input, min, None, 1.0)


def _clamp_max(input: Any, max: Any) -> _Bounds | None:
    return _bounds(input, None, max, 1.0)


def _maximum(input: Any, other: Any = None, *rest: Any, out: Any = None, **named: Any) -> _Bounds | None:
    return _extremum(input, other, lambda x, value: _bounds(x, value, None, 0.5)) if out is None else None


def _minimum(input: Any, other: Any = None, *rest: Any, out: Any = None, **named: Any) -> _Bounds | None:
    return _extremum(input, other, lambda x, value: _bounds(x, None, value, 0.5)) if out is None else None


def _extremum(a: Any, b: Any, bounds: Callable[[Any, Any], _Bounds | None]) -> _Bounds | None:
    """Of a tensor and a constant one, in either order."""
    if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)):
        return None  # torch.max(x, 1) reduces an axis
    for x, constant in ((a, b), (b, a)):
        if x.requires_grad and not constant.requires_grad and _fits(constant.shape, x.shape):
            return bounds(x, constant)
    return None


def _fits(part: torch.Size, whole: torch.Size) -> bool:
    """Whether a tensor of one shape is broadcast to the other one."""
    pairs = zip(reversed(part), reversed(whole), strict=False)
    return len(part) <= len(whole) and all(a in (1, b) for a, b in pairs)


def _bounds(x: Any, low: Any, high: Any, at_kinks: float, in_place: bool = False) -> _Bounds | None:
    lower = -math.inf if low is None else _number(low)
    upper = math.inf if high is None else _number(high)
    return None if lower is None or upper is None else _Bounds(x, lower, upper, at_kinks, at_kinks, in_place)


def _number(value: Any) -> float | None:
    """The number that a bound is; None for one that differs from value to value."""
    if isinstance(value, (int, float)):
        return float(value)
    if not isinstance(value, torch.Tensor) or value.requires_grad or value.is_meta or not value.numel():
        return None
    first = value.detach().flatten()[0]
    return float(first) if bool((value == first).all()) else None


def _in_place(read: Callable[..., _Bounds | None]) -> Callable[..., _Bounds | None]:
    def reader(input: Any, *args: Any, **kwargs: Any) -> _Bounds | None:
        found = read(input, *args, **kwargs)
        return None if found is None else _Bounds(found.x, found.low, found.high, found.at_low, found.at_high, True)

    return reader


def _spellings(*names: str) -> list[Any]:
    """Functions, methods and operators of these names."""
    spaces = (F, torch, torch.Tensor, torch._C._nn)
    found = [getattr(space, name) for space in spaces for name in names if hasattr(space, name)]
    for name in names:
        packet = getattr(torch.ops.aten, name, None)  # in graphs of torch.export
        found += [] if packet is None else [packet, *(getattr(packet, overload) for overload in packet.overloads())]
    return found


READERS: Mapping[Any, Callable[..., _Bounds | None]] = {
    function: reader
    for names, read in (
        (("relu",), _relu),
        (("relu6",), _relu6),
        (("hardtanh",), _hardtanh),
        (("clamp", "clip"), _clamp),
        (("clamp_min",), _clamp_min),
        (("clamp_max",), _clamp_max),
        (("maximum", "max"), _maximum),
        (("minimum", "min"), _minimum),
        (("threshold", "_threshold"), _threshold),
    )
    for ending, reader in (("", read), ("_", _in_place(read)))
    for function in _spellings(*(f"{name}{ending}" for name in names))
}
"""What reads the bounds from the arguments of each function, method and in-place form."""

ADDITIONS = frozenset(
    getattr(space, name)
    for space in (torch, torch.Tensor)
    for name in ("add", "add_", "__iadd__")
    if hasattr(space, name)
)
"""Calls that add; with a number, half of the ceiling of what follows, they begin a hard sigmoid."""
