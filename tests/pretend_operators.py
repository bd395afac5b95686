"""torchvision where its compiled operators do not fit the installed PyTorch, as beside a CPU build that has no counterpart.

Its classifiers need none of these operators: declaring two of them lets the package be imported. Its detectors need two, which
are implemented here in a few lines, slowly. For tests, benchmarks and the page of architectures.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

DECLARED: list[Any] = []
"""The libraries that declare them: what they declare goes away with them."""


def declare() -> None:
    """Make ``import torchvision`` work, where the package is installed; transformers and timm import it, too."""
    if DECLARED or any(importlib.util.find_spec(name) is None for name in ("torch", "torchvision")):
        return
    import torch

    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        DECLARED.append(library)
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor a, Tensor b, float c) -> Tensor")
        library.define(
            "roi_align(Tensor maps, Tensor boxes, float scale, SymInt rows, SymInt columns, int samples, bool aligned) -> Tensor"
        )
        library.impl("nms", _suppressed, "CPU")
        library.impl("roi_align", _aligned, "CompositeImplicitAutograd")
        import torchvision  # noqa: F401

        for module in ("torchvision.extension", "torchvision.ops.roi_align"):
            sys.modules[module]._has_ops = lambda: True  # type: ignore[attr-defined]


def _suppressed(boxes: Any, scores: Any, threshold: float) -> Any:
    """The indices of boxes that no box of a higher score overlaps by more than `threshold`."""
    import torch
    from torchvision.ops import box_iou

    order = scores.argsort(descending=True, stable=True)
    overlaps = box_iou(boxes[order], boxes[order]) > threshold
    kept = torch.ones(len(order), dtype=torch.bool)
    for index in range(len(order)):
        if kept[index]:
            kept[index + 1 :] &= ~overlaps[index, index + 1 :]
    return order[kept]


def _aligned(maps: Any, boxes: Any, scale: float, rows: int, columns: int, samples: int, aligned: bool) -> Any:
    """What lies in boxes (image, left, top, right, bottom), resampled bilinearly to `rows` by `columns`."""
    import torch
    import torch.nn.functional as F

    count = samples if samples > 0 else 2
    corners = boxes[:, 1:] * scale - (0.5 if aligned else 0.0)
    extent = corners[:, 2:] - corners[:, :2]
    extent = extent if aligned else extent.clamp(min=1)

    def places(axis: int, number: int, side: int) -> Any:
        steps = (torch.arange(number * count, dtype=boxes.dtype) + 0.5) / (number * count)
        return 2 * (corners[:, axis, None] + extent[:, axis, None] * steps) / max(side - 1, 1) - 1

    x, y = places(0, columns, maps.shape[3]), places(1, rows, maps.shape[2])
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=-1)
    found = maps.new_zeros(len(boxes), maps.shape[1], rows, columns)
    for image in boxes[:, 0].unique().long().tolist():
        chosen = (boxes[:, 0] == image).nonzero()[:, 0]
        places_of = grid[chosen].reshape(1, -1, columns * count, 2).to(maps.dtype)
        values = F.grid_sample(maps[image : image + 1], places_of, align_corners=True, padding_mode="border")
        values = values[0].reshape(maps.shape[1], len(chosen), rows * count, columns * count).transpose(0, 1)
        found = found.index_put((chosen,), F.avg_pool2d(values, count))
    return found


def usable(package: str) -> Any:
    """The package, imported beside pretended operators; the test is skipped where it is not installed."""
    import pytest

    declare()
    return pytest.importorskip(package)
