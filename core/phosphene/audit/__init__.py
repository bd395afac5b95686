"""What can be held against a network and answered by yes or no: whether two ports of one model are the same."""

from __future__ import annotations

from phosphene.audit.matching import Unmatched
from phosphene.audit.parity import Parity, Row, parity

__all__ = ["Parity", "Row", "Unmatched", "parity"]
