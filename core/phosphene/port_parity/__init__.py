"""Compare two ports of a model layer by layer."""

from __future__ import annotations

from phosphene.port_parity.call import Parity, Row, parity
from phosphene.port_parity.layer_pairs import Unmatched

__all__ = ["Parity", "Row", "Unmatched", "parity"]
