# ruff: noqa: T201 - a command
"""Choose the smallest member of every family of timm, and the smallest image that it takes: ``timm_families.csv``.

    PYTHONPATH=tests python tests/sweep/timm_choice.py

A family is a module of timm, or the members of a module whose names begin with another word that no family has yet. The list
is pinned: what it holds stays, and only families that it lacks are added.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pretend_operators

FAMILIES = Path(__file__).with_name("timm_families.csv")
SIZES = (64, 96, 128, 160, 192, 224, 256, 384)
LARGE = 40_000_000
"""Members with more parameters are built with fewer blocks, where their function takes their number."""
SMALL_WORDS = (
    "zepto atto femto pico nano test lite tiny xxtiny xtiny mini xxs xs small micro 050 035 018 18 14 10 b0 s0 t0 lite0 s"
).split()


def candidates(names: list[str], count: int = 10) -> list[str]:
    """The members whose names sound smallest."""

    def rank(name: str) -> tuple[int, int, str]:
        words = name.replace("-", "_").split("_")
        return min((SMALL_WORDS.index(w) for w in words if w in SMALL_WORDS), default=99), len(name), name

    return sorted(names, key=rank)[:count]


def parameters(name: str, **arguments: Any) -> int | None:
    """Number of parameters, counted without memory for them; None if that fails."""
    import timm
    import torch

    try:
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False, **arguments)
    except Exception:  # noqa: BLE001 - some architectures compute with values when they are built
        return None
    return sum(part.numel() for part in model.parameters())


def image(name: str, arguments: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
    """The side of the smallest square image that the model takes, and the arguments to build it with."""
    import timm
    import torch

    published = timm.get_pretrained_cfg(name)
    own = 224 if published is None else published.input_size[-1]
    fixed = bool(getattr(published, "fixed_input_size", False))
    for size in sorted({*(side for side in SIZES if side < own), own}):
        given = {**arguments, **({"img_size": size} if fixed and size != own else {})}
        try:
            torch.manual_seed(0)
            model = timm.create_model(name, pretrained=False, **given).eval()
            with torch.no_grad():
                model(torch.rand(2, 3, size, size))
        except Exception:  # noqa: BLE001 - too small, or not an argument of this architecture
            continue
        return size, given
    return None


def families() -> Iterator[tuple[str, list[str]]]:
    """Each family and its members."""
    import timm

    words: set[str] = set()
    for module in timm.list_modules():
        members = timm.list_models(module=module)
        yield module, members
        words.add(word(candidates(members, 1)[0]))
    for module in timm.list_modules():
        others: dict[str, list[str]] = {}
        for name in timm.list_models(module=module):
            others.setdefault(word(name), []).append(name)
        for first, members in others.items():
            if first not in words:
                words.add(first)
                yield f"{module}/{first}", members


def word(name: str) -> str:
    """The letters with which a name begins."""
    return re.split("[^a-z]", name, maxsplit=1)[0]


def chosen(known_already: set[str]) -> Iterator[tuple[str, str, int, int, str]]:
    """One row per family that is not known already."""
    for family, members in families():
        if family in known_already:
            continue
        counted = {name: parameters(name) for name in candidates(members)}
        known = {name: count for name, count in counted.items() if count}
        if not known:
            known = dict.fromkeys(list(counted)[:1], 0)
        for name in sorted(known, key=lambda key: known[key] or 0)[:2]:
            count, arguments = known[name] or 0, {}
            fewer = parameters(name, depth=3) if count > LARGE else None
            if fewer:
                count, arguments = fewer, {"depth": 3}
            found = None if count > 150_000_000 else image(name, arguments)
            if found is not None:
                yield family, name, found[0], count, json.dumps(found[1])
                break


def main() -> None:
    """Write the list."""
    import torch

    torch.set_num_threads(1)
    pretend_operators.declare()
    with FAMILIES.open(newline="") as file:
        known = {row["family"] for row in csv.DictReader(file)}
    with FAMILIES.open("a", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for row in chosen(known):
                rows.writerow(row)
                file.flush()
                print(*row, flush=True)


if __name__ == "__main__":
    main()
