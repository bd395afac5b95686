"""Results as offline pages: one file, images inside it, one stylesheet for all."""

from __future__ import annotations

from phosphene.pages.html import Html, page, picture

__all__ = ["Html", "page", "picture"]
