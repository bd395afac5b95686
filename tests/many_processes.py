"""Processes that do the same work in the same folder at one moment, or are killed at any; forked from one that has imported all."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np

from small_models import small_network

IMPORTED = (
    *(
        "phosphene.atlas.call",
        "phosphene.extraction.collection",
        "phosphene.sheet.call",
        "phosphene_torch",
        "phosphene_jax",
    ),
    *("torch._dynamo", "flax.nnx", "optax", "zarr", "sklearn.neighbors"),
)
"""What takes seconds to import, and starts no threads, which would not survive a fork. What is not installed is passed over."""

LATEST = 300.0
"""Seconds after which a process is considered to hang."""


def server() -> ForkServerContext:
    """The context whose processes are forked from one that has imported all; started by the first that is made."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


def network(backend: str) -> Any:
    """A small network, which is wrapped and compiled quickly."""
    import phosphene as ph

    return ph.wrap(small_network("function" if backend == "jax" else backend), size=16)


def images(count: int) -> Any:
    return np.random.default_rng(5).random((count, 16, 16, 3)).astype(np.float32)


def store(backend: str, folder: Path, begin: Callable[[], object]) -> None:
    """Twelve shards of activations."""
    import phosphene as ph
    import phosphene.extraction.collection as collecting

    collecting.SHARD_BYTES = 1
    loaded, pictures = network(backend), images(48)
    begin()
    found = ph.activations(loaded, pictures, ["norm", "output"], out=folder, batch=4, progress=False)
    assert found.complete and found.manifest.shards == 12


def sheet(backend: str, folder: Path, begin: Callable[[], object]) -> None:
    """Pictures of eight units in four batches."""
    import phosphene as ph

    loaded = network(backend)
    begin()
    ph.render_all(loaded, "norm", folder, batch=2, steps=4, progress=False)


def atlas(backend: str, folder: Path, begin: Callable[[], object]) -> None:
    """A small atlas with all of its steps."""
    import phosphene as ph
    import phosphene.atlas.icons as icons
    import phosphene.atlas.points as points
    from built_atlases import CHART
    from phosphene.atlas import BuildSettings, GridSettings, IconSettings, PatchSettings

    chart = replace(CHART, grid=GridSettings((2, 4)))
    settings = BuildSettings(chart, IconSettings(steps=2, steps_from_parent=1, tries=1), PatchSettings(1))
    icons.SHARD, points.SHARD_BYTES = 8, 1
    loaded, pictures = network(backend), images(160)
    begin()
    ph.Atlas.build(loaded, pictures, "norm", folder, settings=settings, progress=False)


def picture(backend: str, folder: Path, begin: Callable[[], object]) -> None:
    """One result, saved."""
    import phosphene as ph

    loaded = network(backend)
    begin()
    ph.render(loaded, ["norm:1", "norm:2"], steps=12, progress=False).save(folder / "pictures.npz")


WORKS: dict[str, Callable[[str, Path, Callable[[], object]], None]] = {
    "activations": store,
    "sheet": sheet,
    "atlas": atlas,
    "render": picture,
}


def _run(work: str, backend: str, folder: Path, begin: Callable[[], object], words: Path) -> None:
    """Runs in the process."""
    if backend == "torch":
        import torch

        torch.set_num_threads(1)
    handler = logging.FileHandler(words)
    logging.getLogger("phosphene").addHandler(handler)
    WORKS[work](backend, folder, begin)


def start(work: str, backend: str, folder: Path, begin: Callable[[], object], words: Path) -> ForkServerProcess:
    """Start a process that does a work in a folder.

    `begin` is called when all has been loaded. What the process logs goes to the file `words`.
    """
    process = server().Process(target=_run, args=(work, backend, folder, begin, words))
    process.start()
    return process


def pair(work: str, backend: str, folder: Path) -> str:
    """Two processes that begin at one moment; neither may die. Returns what they logged."""
    logs = [folder.with_name(f"{folder.name}-{number}.log") for number in range(2)]
    together = server().Barrier(2)
    both = [start(work, backend, folder, together.wait, log) for log in logs]
    for process in both:
        process.join(LATEST)
    assert [process.exitcode for process in both] == [0, 0]
    return "\n".join(log.read_text() for log in logs)


def whole(work: str, backend: str, folder: Path) -> float:
    """One process, undisturbed; returns the seconds of its work."""
    begun = server().Event()
    process = start(work, backend, folder, begun.set, folder.with_name(f"{folder.name}.log"))
    assert begun.wait(LATEST)
    since = time.perf_counter()
    process.join(LATEST)
    assert process.exitcode == 0
    return time.perf_counter() - since


def killed(work: str, backend: str, folder: Path, after: float) -> bool:
    """One process that is killed some seconds after it began its work; False if it was done before."""
    begun = server().Event()
    process = start(work, backend, folder, begun.set, folder.with_name(f"{folder.name}.log"))
    assert begun.wait(LATEST)
    process.join(after)
    process.kill()
    process.join(LATEST)
    assert process.exitcode in (0, -9)
    return process.exitcode == -9


def contents(work: str, folder: Path) -> dict[str, Any]:
    """All arrays that a work has left in a folder, each checked as it is read."""
    from phosphene.atlas import Atlas
    from phosphene.rendering.result import Renders
    from phosphene.store import Store

    if work in ("activations", "atlas"):
        there = Store.open(folder if work == "activations" else folder / "points")
        assert there.complete and there.verify() == []
        found = {name: there.read(name) for name in there.names}
        if work == "atlas":
            steps = Atlas.open(folder).steps
            for name in steps.names:
                found |= {f"{name}/{key}": value for key, value in steps.read(name).arrays.items()}
        return found
    assert work == "render" or (folder / "index.html").stat().st_size > 1000
    paths = sorted(folder.glob("*.npz"))
    return {
        f"{path.name}/{key}": getattr(Renders.load(path), key)
        for path in paths
        for key in ("images", "values", "history")
    }


def same(work: str, one: Path, other: Path) -> None:
    """Two folders hold the same arrays, and no lock."""
    mine, theirs = contents(work, one), contents(work, other)
    assert mine.keys() == theirs.keys() and len(mine) > 0
    for name, values in mine.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)
    assert not list(one.rglob("*.lock")) and not list(one.rglob("*.owner"))
