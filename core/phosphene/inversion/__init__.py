"""Inversion: images whose activations match given ones."""

from __future__ import annotations

from phosphene.inversion.call import invert

__all__ = ["invert"]
