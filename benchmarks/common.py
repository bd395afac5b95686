"""What the benchmarks share: peers in folders of their own, the network they run, turns, and the shape of their results.

A result is one JSON file a benchmark in ``benchmarks/results``:

``name``, ``question``
    The script's name, and what it asks, in a sentence.
``device``, ``threads``, ``versions``, ``date``
    Where, with how many threads, with what and when it was measured.
``rows``
    One an answer: ``case``; ``target``, the largest ratio that is good enough, or null where there is none; ``ratio``, the median
    of all rounds; ``least`` and ``most``; ``rounds``; ``seconds``, the median of each contestant by name.
``notes``
    Sentences for the reader.

A benchmark may add keys of its own. ``report.py`` makes the page of them all.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from resnet50 import resnet50

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import pretend_operators

__all__ = [
    "RESULTS",
    "SIZE",
    "Work",
    "add_peers",
    "calibrated",
    "device",
    "row",
    "said",
    "spent",
    "turns",
    "versions",
    "write",
]

SIZE = 224
RESULTS = Path(__file__).parent / "results"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "phosphene" / "benchmarks"

Work = Callable[[], Any]


def add_peers(folder: str, packages: Sequence[str]) -> None:
    """Make packages importable from a folder outside the project's environment, after everything that is installed.

    Parameters
    ----------
    folder : str
        Its name in the user's cache. What is not there yet is put there by pip, without what it depends on.
    packages : sequence of str
        As pip takes them, ``name`` or ``name==version``.
    """
    place = CACHE / folder
    names = [package.partition("==")[0].replace("-", "_") for package in packages]
    if not all(any(place.glob(f"{name}-*.dist-info")) for name in names):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), *packages]
        subprocess.run(command, check=True)
    sys.path.append(str(place))
    importlib.invalidate_caches()
    pretend_operators.declare()


def calibrated(channels_last: bool = True) -> Any:
    """ResNet-50 in PyTorch with random weights and the running statistics of noise.

    Parameters
    ----------
    channels_last : bool, default True
        Whether its weights lie in that memory format, or as PyTorch makes them.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.
    """
    import torch

    model = resnet50("torch")
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    noise = torch.from_numpy(np.random.default_rng(0).random((8, SIZE, SIZE, 3), np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        model.train()(noise)
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


def spent(work: Work) -> tuple[float, float]:
    """Seconds of one call, by the wall and by the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def turns(contestants: Mapping[str, Work], rounds: int, after: Work | None = None) -> dict[str, list[float]]:
    """Wall seconds of each contestant, one after the other, round after round; `after` each, something that is not timed."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            taken[name].append(spent(work)[0])
            if after is not None:
                after()
    return taken


def row(
    case: str, target: float | None, taken: Mapping[str, Sequence[float]], ours: str, theirs: str
) -> dict[str, Any]:
    """One answer: how long `ours` took as a multiple of `theirs` in the same round.

    Parameters
    ----------
    case : str
        What was done.
    target : float or None
        The largest ratio that is good enough.
    taken : mapping of str to sequence of float
        From `turns`.
    ours, theirs : str
        Names in `taken`.

    Returns
    -------
    dict
        A row of a result.
    """
    ratios = [a / b for a, b in zip(taken[ours], taken[theirs], strict=True)]
    return {
        "case": case,
        "target": target,
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "rounds": len(ratios),
        "seconds": {name: statistics.median(taken[name]) for name in (ours, theirs)},
    }


def said(row: Mapping[str, Any]) -> str:
    """A row as a line for the terminal."""
    target = "" if row["target"] is None else f", target {row['target']:.3g}"
    return f"{row['case']}: {row['ratio']:.3f} ({row['least']:.3f} to {row['most']:.3f}){target}"


def device() -> dict[str, Any]:
    """The processor, and the accelerator where PyTorch or JAX, if imported, sees one."""
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    kind = "cpu"
    if torch is not None and torch.cuda.is_available():
        kind = torch.cuda.get_device_name()
    elif jax is not None and jax.default_backend() != "cpu":
        kind = jax.devices()[0].device_kind
    return {"kind": kind, "machine": platform.machine(), "cores": os.cpu_count()}


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, of phosphene and NumPy, and of `packages`."""
    import phosphene

    own = {"python": platform.python_version(), "phosphene": phosphene.__version__, "numpy": np.__version__}
    return own | {name: version(name) for name in packages}


def write(
    out: Path,
    name: str,
    question: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    threads: int | None,
    packages: Sequence[str] = (),
    notes: Sequence[str] = (),
    **more: Any,
) -> None:
    """Write a result; the module's docstring says what is in it.

    Parameters
    ----------
    out : Path
        The file.
    name, question : str
    rows : sequence of mapping
        From `row`.
    threads : int or None
        None where the framework has a pool of its own.
    packages : sequence of str
        Installed packages whose versions matter.
    notes : sequence of str
    **more
        Further keys.
    """
    told = {
        "name": name,
        "question": question,
        "device": device(),
        "threads": threads,
        "versions": versions(*packages),
        "date": datetime.now(UTC).date().isoformat(),
        "rows": list(rows),
        "notes": list(notes),
        **more,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n")
