"""Saving and loading of results, each file written whole or not at all."""

from __future__ import annotations

from phosphene.files.pictures import grid_png, png_bytes, read_image
from phosphene.files.renders import KEY, check_result_path, load_renders, save_animation, save_renders
from phosphene.files.reports import (
    figure_bytes,
    save_attribution,
    save_embedding,
    save_figure,
    save_trust_cards,
    save_units,
)
from phosphene.writing import check_writable, write_whole

__all__ = [
    "KEY",
    "check_result_path",
    "check_writable",
    "figure_bytes",
    "grid_png",
    "load_renders",
    "png_bytes",
    "read_image",
    "save_animation",
    "save_attribution",
    "save_embedding",
    "save_figure",
    "save_renders",
    "save_trust_cards",
    "save_units",
    "write_whole",
]
