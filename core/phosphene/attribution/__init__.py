"""Attribution: which parts of an image a target depends on."""

from __future__ import annotations

from phosphene.attribution.call import attribute
from phosphene.attribution.result import Attribution

__all__ = ["Attribution", "attribute"]
