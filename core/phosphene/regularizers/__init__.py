"""Regularizers: penalties, which are subtracted from the objective, and projections of the pixels after each step."""

from __future__ import annotations

from phosphene.regularizers.penalties import Penalty, l1, l2, total_variation
from phosphene.regularizers.projections import Projection, blur, clip, decay

__all__ = [
    "Penalty",
    "Projection",
    "blur",
    "clip",
    "decay",
    "l1",
    "l2",
    "total_variation",
]
