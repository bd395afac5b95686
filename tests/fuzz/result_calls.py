"""Valid small calls of the methods of results, of atlases and their settings, and of stores; see `analysis_calls`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import phosphene as ph
from phosphene import atlas, trust
from phosphene.atlas import (
    BuildSettings,
    ChartSettings,
    ClusterSettings,
    GraphSettings,
    GridSettings,
    IconSettings,
    LabelSettings,
    LayoutSettings,
    MeasureSettings,
    PatchSettings,
)
from phosphene.atlas.figure import PictureSettings
from phosphene.store import ArraySpec, Manifest, Store
from result_instances import every_result
from small_atlases import small_atlas

__all__ = ["TYPES", "Call", "atlas_calls", "layer_calls", "result_calls", "settings_calls", "store_calls"]

TYPES = ("integer", "number", "flag", "text", "path", "choice", "integers")
"""Types of arguments for which it is known what must be refused."""


@dataclass(frozen=True)
class Call:
    """A function, and arguments with which it works.

    Attributes
    ----------
    run : callable
        Takes the arguments by name.
    given : callable
        Returns valid arguments, made anew for each call.
    types : mapping of str to str
        Arguments of one of `TYPES`; a question mark says that None is allowed as well.
    slow : bool
        Whether a call takes more than a tenth of a second.
    """

    run: Callable[..., Any]
    given: Callable[[], dict[str, Any]]
    types: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False


def settings_calls() -> dict[str, Call]:
    """The settings of an atlas."""

    def made(kind: Any, **types: str) -> Call:
        names = {name: getattr(kind(), name) for name in kind.__dataclass_fields__}
        return Call(kind, names.copy, types)

    seed = {"seed": "integer"}
    return {
        "BuildSettings": made(BuildSettings),
        "ChartSettings": made(ChartSettings, whitened="flag", ridge="number", evenness="number"),
        "ClusterSettings": made(ClusterSettings, neighbours="integer", prominence="number", cells="number"),
        "GraphSettings": made(GraphSettings, count="integer", metric="choice", exact_up_to="integer", **seed),
        "GridSettings": made(
            GridSettings,
            levels="integers?",
            minimum="integer",
            percentile="number",
            margin="number",
            split_below="number",
            split_gain="number",
            **seed,
        ),
        "IconSettings": made(
            IconSettings,
            size="integer?",
            steps="integer",
            steps_from_parent="integer",
            retry_below="number",
            tries="integer",
            patience="integer?",
            **seed,
        ),
        "LabelSettings": made(
            LabelSettings,
            evidence="choice",
            top="integer",
            contenders="integer",
            resamples="integer",
            confidence="number",
            images="integer",
            **seed,
        ),
        "LayoutSettings": made(
            LayoutSettings, method="choice", min_dist="number", epochs="integer?", landmarks="integer", **seed
        ),
        "MeasureSettings": made(MeasureSettings, neighbours="integer", sample="integer", **seed),
        "PatchSettings": made(PatchSettings, most="integer", side="integer", mass="number", pictures="integer"),
        "PictureSettings": made(PictureSettings, cell="integer", crop="number?", smallest="number"),
        "Thresholds": made(trust.Thresholds),
    }


def atlas_calls(folder: Path, fresh: Callable[..., Path]) -> dict[str, Call]:
    """A small atlas: how it is made, drawn, read and written."""
    small = small_atlas(folder / "atlas")
    rows = np.random.default_rng(2).standard_normal((8, 4)).astype(np.float32)
    found = {
        "Atlas.open": Call(ph.Atlas.open, lambda: {"path": folder / "atlas"}, {"path": "path"}),
        "Atlas.from_activations": Call(
            ph.Atlas.from_activations,
            lambda: {
                "activations": {"a": rows},
                "out": fresh(),
                "images": list(range(8)),
                "logits": rows[:, :2],
                "attributions": {"a": rows[:, :2]},
                "classes": ["x", "y"],
            },
            {"out": "path"},
            slow=True,
        ),
        "Atlas.view": Call(
            small.view,
            lambda: {
                "path": fresh(".html"),
                "layers": ["a"],
                "beside": None,
                "max_mb": 25.0,
                "crop": None,
                "title": None,
            },
            {"path": "path", "max_mb": "number", "title": "text?"},
            slow=True,
        ),
        "Atlas.report": Call(
            small.report, lambda: {"path": fresh(".html"), "size": 4}, {"path": "path", "size": "integer?"}, slow=True
        ),
        "Atlas.export_sheets": Call(small.export_sheets, lambda: {"folder": fresh()}, {"folder": "path"}, slow=True),
        "class_map": Call(
            atlas.class_map,
            lambda: {
                "atlas": small,
                "layer": "a",
                "target": 0,
                "other": None,
                "rank": 1,
                "magnitude": 0.5,
                "graph": None,
                "layout": LayoutSettings("pca"),
                "grid": GridSettings((2, 4)),
            },
            {"layer": "text", "rank": "integer", "magnitude": "number"},
        ),
        "chart": Call(
            atlas.chart,
            lambda: {
                "atlas": small,
                "layers": [],
                "settings": None,
                "layouts": None,
                "texts": None,
                "progress": False,
            },
        ),
    }
    for name in ("activations", "attributions", "whitening", "neighbours", "layout", "grid", "measures"):
        found[f"Atlas.{name}"] = Call(getattr(small, name), lambda: {"layer": "a"}, {"layer": "text"})
    for name in ("icons", "cell_measures", "labels", "clusters"):
        found[f"Atlas.{name}"] = Call(
            getattr(small, name), lambda: {"layer": "a", "size": 4}, {"layer": "text", "size": "integer"}
        )
    return found


def store_calls(folder: Path, fresh: Callable[..., Path]) -> dict[str, Call]:
    manifest = Manifest("activations", 5, 2, {"a": ArraySpec((3,))})
    store = Store.create(folder / "store", manifest)
    for shard in range(3):
        start, stop = manifest.span(shard)
        store.write(shard, {"a": np.ones((stop - start, 3), np.float32)})
    open_ = Store.create(folder / "open store", manifest)
    return {
        "Store.open": Call(Store.open, lambda: {"folder": folder / "store"}, {"folder": "path"}),
        "Store.create": Call(Store.create, lambda: {"folder": fresh(), "manifest": manifest}, {"folder": "path"}),
        "Store.read": Call(
            store.read,
            lambda: {"name": "a", "start": 1, "stop": 4},
            {"name": "text", "start": "integer", "stop": "integer?"},
        ),
        "Store.shard": Call(store.shard, lambda: {"name": "a", "shard": 1}, {"name": "text", "shard": "integer"}),
        "Store.shards": Call(lambda name: list(store.shards(name)), lambda: {"name": "a"}, {"name": "text"}),
        "Store.discard": Call(open_.discard, lambda: {"shard": 2}, {"shard": "integer"}),
        "Store.write": Call(
            open_.write,
            lambda: {"shard": 0, "values": {"a": np.ones((2, 3), np.float32)}, "kept": [0]},
            {"shard": "integer"},
        ),
    }


def layer_calls(net: Any) -> dict[str, Call]:
    return {
        "Layers.select": Call(
            net.layers.select,
            lambda: {"pattern": "c*", "kind": "*", "spatial": None},
            {"pattern": "text", "kind": "text"},
        ),
        "Layers[...]": Call(lambda path: net.layers[path], lambda: {"path": "conv"}, {"path": "text"}),
        "path in Layers": Call(lambda path: path in net.layers, lambda: {"path": "conv"}),
        "Layers.get": Call(lambda path: net.layers.get(path), lambda: {"path": "conv"}),
        "Layers.last": Call(net.layers.last, lambda: {"paths": ["conv", "head"]}),
    }


def result_calls(folder: Path, fresh: Callable[..., Path]) -> dict[str, Call]:
    found: dict[str, Call] = {}
    kinds: dict[type, Any] = {}
    for name, result in every_result().items():
        if name.startswith("no "):
            continue
        kinds.setdefault(type(result), result)
        kept = result.save(folder / f"{len(found)}.npz")
        found[f"{name}: load"] = Call(type(result).load, lambda kept=kept: {"path": kept}, {"path": "path"})
        found[f"{name}: check_path"] = Call(result.check_path, lambda: {"path": fresh(".npz")}, {"path": "path"})
        for ending in result.endings:
            found[f"{name}: save {ending}"] = Call(
                result.save, lambda ending=ending: {"path": fresh(ending)}, {"path": "path"}, slow=ending != ".npz"
            )
    renders, units = kinds[ph.Renders], kinds[ph.Units]
    cards, features, embedding = kinds[ph.TrustCards], kinds[ph.Features], kinds[ph.Embedding]
    found |= {
        "Renders[...]": Call(lambda index: renders[index], lambda: {"index": 1}, {"index": "integer"}),
        "Renders.rows": Call(renders.rows, lambda: {"numbers": [0, 1]}, {"numbers": "integers"}),
        "Renders.plot": Call(
            renders.plot, lambda: {"columns": 2, "titles": True}, {"columns": "integer?", "titles": "flag"}, slow=True
        ),
        "Renders.animate": Call(
            every_result()["full renders"].animate,  # type: ignore[attr-defined]
            lambda: {"path": fresh(".gif"), "seconds": 1.0},
            {"path": "path", "seconds": "number"},
        ),
        "Units.name": Call(units.name, lambda: {"channel": 1}, {"channel": "integer"}),
        "Units.state": Call(units.state, lambda: {"channel": 1}, {"channel": "integer"}),
        "Units.plot": Call(units.plot, lambda: {"channels": 2}, {"channels": "integer"}, slow=True),
        "TrustCards[...]": Call(lambda index: cards[index], lambda: {"index": 1}, {"index": "integer"}),
        "TrustCards.plot": Call(cards.plot, lambda: {"cards": 1}, {"cards": "integer"}, slow=True),
        "TrustCards.with_answers": Call(
            lambda quiz, path: cards.with_answers(quiz, path),
            lambda: {"quiz": kinds[ph.Quiz], "path": folder / "no answers.json"},
            {"path": "path"},
        ),
        "Features[...]": Call(lambda index: features[index], lambda: {"index": 1}, {"index": "integer"}),
        "Features.objective": Call(features.objective, lambda: {"index": 1}, {"index": "integer"}),
        "Embedding.plot": Call(
            embedding.plot,
            lambda: {"labels": [0, 1, 0, 1, 0], "names": ["a", "b"], "thumbnails": False},
            {"thumbnails": "flag"},
            slow=True,
        ),
        "Embedding.save": Call(
            embedding.save,
            lambda: {"path": fresh(".npz"), "labels": [0, 1, 0, 1, 0]},
            {"path": "path"},
        ),
        "Attribution.plot": Call(
            kinds[ph.Attribution].plot,
            lambda: {"overlay": True, "columns": 2},
            {"overlay": "flag", "columns": "integer?"},
            slow=True,
        ),
        "FeatureMaps.plot": Call(
            kinds[ph.FeatureMaps].plot,
            lambda: {"over_image": False, "shared": None, "grey": False, "columns": 2},
            {"over_image": "flag", "shared": "flag?", "grey": "flag", "columns": "integer?"},
            slow=True,
        ),
        "Parity.row": Call(kinds[ph.Parity].row, lambda: {"path": "a"}, {"path": "text"}),
        "Quiz.read_answers": Call(
            kinds[ph.Quiz].read_answers, lambda: {"path": folder / "no answers.json"}, {"path": "path"}
        ),
    }
    return found
