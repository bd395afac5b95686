"""One small file of every kind that the library reads, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import phosphene as ph
from phosphene.atlas import Atlas
from phosphene.atlas.points import left_out
from phosphene.loaders.weight_files import read_numpy, read_torch
from phosphene.rendering.configuration import read_config, save_config
from phosphene.rendering.replays import _settings_of
from phosphene.rendering.serialization import read_run
from phosphene.sheet.batches import Manifest as SheetManifest
from phosphene.sheet.cards import _card
from phosphene.specimen import weights
from phosphene.store import ArraySpec, Manifest, Store
from result_instances import every_result, small_renders
from small_atlases import small_atlas
from small_quizzes import small_quiz

__all__ = ["Specimen", "same", "specimens"]


@dataclass(frozen=True)
class Specimen:
    """A file, what is known of its inside, and what reads it."""

    kind: str
    path: Path
    form: str
    read: Callable[[], Any]
    exact: bool = False
    """Whether a digest tells every change: what is read then equals what was written."""


def same(first: Any, second: Any) -> bool:
    """Whether two results are equal, arrays and NaN included."""
    if type(first) is not type(second):
        return False
    if isinstance(first, np.ndarray):
        return bool(first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f"))
    if is_dataclass(first):
        return all(same(getattr(first, item.name), getattr(second, item.name)) for item in fields(first))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(value, second[key]) for key, value in first.items())
    if isinstance(first, (tuple, list)):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second) or (first != first and second != second)


def specimens(folder: Path) -> Iterator[Specimen]:
    """Write one file of every kind into a folder."""
    yield from _stores(folder / "store")
    yield from _atlases(folder / "atlas")
    yield from _sheets(folder / "sheet")
    yield from _results(folder)
    yield from _weights(folder)
    config = save_config(folder / "run.toml", {"run": {"steps": 16, "seed": 3}, "recipe": {}})
    yield Specimen("configuration", config, "bytes", lambda: read_config(config))


def _stores(folder: Path) -> Iterator[Specimen]:
    arrays = {"a": ArraySpec((3, 2)), "b@1": ArraySpec((2,), "float16"), "index": ArraySpec((), "int64")}
    store = Store.create(
        folder, Manifest("activations", 10, 4, arrays, {"model": "m", "size": [4, 4]}, {"date": "now"})
    )
    random = np.random.default_rng(0)
    for shard, rows in enumerate((4, 4, 2)):
        values = {name: random.standard_normal((rows, *spec.shape)).astype(spec.dtype) for name, spec in arrays.items()}
        store.write(shard, values, [0, 2, 3] if shard == 1 else None, pixels="ab" * 16)

    def read() -> Any:
        found = Store.open(folder)
        assert isinstance(found.missing, list)
        return [found.rows(), *(found.read(name) for name in found.names)]

    def resumed() -> Any:
        found = Store.create(folder, store.manifest)
        damaged = found.verify()
        return found.missing, damaged, [found.read(name) for name in found.names if not (damaged or found.missing)]

    yield Specimen("manifest of a store", folder / "manifest.json", "json", read)
    yield Specimen("receipt", folder / "shards" / "000001.json", "json", read, exact=True)
    yield Specimen("receipt, resumed", folder / "shards" / "000001.json", "json", resumed)
    yield Specimen("description of an array", folder / "arrays" / "a" / "zarr.json", "json", read, exact=True)
    yield Specimen("chunk", folder / "arrays" / "a" / "c" / "1" / "0" / "0", "zarr chunk", read, exact=True)
    yield Specimen("chunk, resumed", folder / "arrays" / "index" / "c" / "2", "zarr chunk", resumed)


def _atlases(folder: Path) -> Iterator[Specimen]:
    atlas = small_atlas(folder)
    counts = folder / "points" / "left_out" / "000000.json"
    counts.parent.mkdir()
    counts.write_text(json.dumps({"a": 3, "output": 1}))
    size = atlas.grid("a").levels[0].size
    readers: dict[str, Callable[[Atlas], Any]] = {
        "grid.a": lambda found: found.grid("a"),
        "layout.a": lambda found: found.layout("a"),
        "neighbours.a": lambda found: found.neighbours("a"),
        "moments.a": lambda found: found.whitening("a"),
        "measures.a": lambda found: (found.measures("a"), found.cell_measures("a", size)),
        "labels.a": lambda found: found.labels("a", size),
        "clusters.a": lambda found: found.clusters("a", size),
        f"icons.a.{size}.0000": lambda found: found.icons("a", size),
    }
    for name, read in readers.items():
        for ending in ("json", "npz"):

            def reading(read: Callable[[Atlas], Any] = read) -> Any:
                return read(Atlas.open(folder))

            path = folder / "steps" / f"{name}.{ending}"
            yield Specimen(f"{name.partition('.')[0]} of an atlas, {ending}", path, ending, reading, exact=True)
    yield Specimen("points left out", counts, "json", lambda: left_out(Store.open(folder / "points")))


def _sheets(folder: Path) -> Iterator[Specimen]:
    folder.mkdir()
    identity = {"layer": "a", "units": [3, 1, 4, 5, 9], "batch": 2, "recipe": {"steps": "4"}}
    SheetManifest.at(folder, identity).halved(1).written()
    yield Specimen(
        "manifest of a sheet",
        folder / "manifest.json",
        "json",
        lambda: [batch.channels for batch in SheetManifest.at(folder, identity).batches],
    )
    card = next(result for result in every_result().values() if isinstance(result, ph.TrustCard))
    names = [item.name for item in fields(card) if item.name not in ("picture", "strongest", "weakest")]
    path = folder / "card.json"
    path.write_text(json.dumps({name: getattr(card, name) for name in names}))

    def cards() -> Any:
        # As `cards_of` reads a row, which computes the cards again when a row is damaged.
        from phosphene.errors import CorruptFile
        from phosphene.kit.documents import DAMAGE, read_json

        row = read_json(path, finite=False)
        try:
            return _card(row, card.picture)
        except DAMAGE as error:
            raise CorruptFile(str(path), str(error)) from error

    yield Specimen("trust cards of a sheet", path, "json", cards)


def _results(folder: Path) -> Iterator[Specimen]:
    for number, (name, result) in enumerate(every_result().items()):
        path = result.save(folder / f"result{number}.npz")
        yield Specimen(f"archive of {name}", path, "npz", partial(type(result).load, path))
    for channels in (1, 3, 5):
        picture = small_renders(channels).save(folder / f"renders{channels}.png")
        yield Specimen(
            f"picture of {channels} channels", picture, "png", lambda picture=picture: ph.Renders.load(picture)
        )
    rendered = ph.render(ph.load("specimen"), ph.channel("stage1", 0), size=32, steps=2, progress=False)
    for ending, form in ((".png", "png"), (".npz", "npz")):
        path = rendered.save(folder / f"replayed{ending}")

        def settings(path: Path = path) -> Any:
            found = _settings_of(path)
            if not isinstance(found, dict) or "run" not in found:
                raise ph.errors.CorruptFile(str(path), "it does not say how it was made")
            return read_run(found["run"], "run").options

        yield Specimen(f"settings of a {form}", path, form, settings)
    quiz = small_quiz()
    answers = folder / "answers.json"
    rows = [{"question": row, "answer": row % 2, "seconds": 1.5} for row in range(len(quiz))]
    words = {"format": "phosphene quiz answers", "version": 1, "quiz": quiz.fingerprint, "answers": rows}
    answers.write_text(json.dumps(words))
    yield Specimen("answers of a quiz", answers, "json", lambda: quiz.read_answers(answers))


def _weights(folder: Path) -> Iterator[Specimen]:
    import torch
    from safetensors.numpy import save_file

    arrays = {"conv.weight": np.ones((2, 3), np.float32), "head": np.arange(4)}
    path = folder / "weights.safetensors"
    save_file(arrays, path)
    yield Specimen("safetensors as arrays", path, "safetensors", lambda: read_numpy(path))
    yield Specimen("safetensors as tensors", path, "safetensors", lambda: sorted(read_torch(path)[0]))
    for legacy in (False, True):
        state = folder / f"weights{legacy:d}.pt"
        torch.save(
            {name: torch.from_numpy(value) for name, value in arrays.items()},
            state,
            _use_new_zipfile_serialization=not legacy,
        )
        yield Specimen(
            f"state dict, {'older' if legacy else 'zip'}",
            state,
            "bytes",
            lambda state=state: sorted(read_torch(state)[0]),
        )
    own = folder / "specimen.safetensors"
    own.write_bytes(weights.path_of("specimen").read_bytes())
    yield Specimen(
        "weights of the embedded network", own, "safetensors", lambda: sorted(weights.load("specimen", own)[1])
    )
    yield Specimen("their metadata", own, "safetensors", lambda: weights.metadata("specimen", own))
