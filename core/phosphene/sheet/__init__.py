"""A picture of every unit of a layer, on one page: the contact sheet."""

from __future__ import annotations

from phosphene.sheet.call import render_all

__all__ = ["render_all"]
