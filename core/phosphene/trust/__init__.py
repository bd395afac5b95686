"""How far to trust a picture."""

from __future__ import annotations

from phosphene.trust.robustness import robust_values

__all__ = ["robust_values"]
