"""timm: the smallest member of every family of ``timm_families.csv``, which `timm_choice` made."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.architectures import Architecture
from sweep.preparation import prepared

FAMILIES = Path(__file__).with_name("timm_families.csv")
QUICK = set(
    "beit cait convmixer convnext crossvit davit densenet deit efficientnet eva levit mlp_mixer/mixer mobilenetv3 regnet resnet "
    "swin_transformer tnt vgg vision_transformer xcit".split()
)


def architectures() -> Iterator[Architecture]:
    """Yield all, by family."""
    with FAMILIES.open(newline="") as file:
        for row in csv.DictReader(file):
            size, arguments = int(row["size"]), json.loads(row["arguments"])
            make = functools.partial(_made, row["name"], size, arguments)
            yield Architecture("timm", row["family"], row["name"], make, size, {}, row["family"] in QUICK)


def _made(name: str, size: int, arguments: dict[str, Any]) -> Any:
    import timm

    return prepared(lambda: timm.create_model(name, pretrained=False, **arguments), size)
