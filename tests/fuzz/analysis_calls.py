"""Valid small calls of what analyses networks, and of the methods of its results: which arguments they take, and of which type."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

import phosphene as ph
from fuzz.result_calls import Call, atlas_calls, layer_calls, result_calls, settings_calls, store_calls
from phosphene import atlas, receptive_field, trust
from small_models import small_network

__all__ = ["Call", "calls"]


def calls(folder: Path, backend: str = "torch") -> dict[str, Call]:
    """All calls by name; what they write goes below `folder`."""
    classes = [f"class {index}" for index in range(5)]
    net = ph.wrap(small_network(backend), size=(16, 16), classes=classes)
    other = ph.wrap(small_network(backend), size=(16, 16), classes=classes)
    images = np.random.default_rng(0).random((24, 16, 16, 3)).astype(np.float32)
    number = itertools.count()

    def fresh(ending: str = "") -> Path:
        return folder / f"{next(number)}{ending}"

    few = images[:2]
    found: dict[str, Call] = {}
    settings = {"batch": "integer", "seed": "integer", "sanity": "flag", "faithfulness": "flag", "method": "choice"}
    plain = {"network": net, "images": few, "target": 0, "sanity": False, "faithfulness": False, "batch": 4, "seed": 0}
    for method, options, types in (
        ("gradient", {}, {}),
        ("gradcam", {"layer": "conv"}, {"layer": "text?"}),
        ("gradient_x_input", {"baseline": 0.0}, {"baseline": "number"}),
        ("integrated_gradients", {"baseline": 0.0, "steps": 4}, {"baseline": "number", "steps": "integer?"}),
        ("smoothgrad", {"samples": 2, "deviation": 0.1}, {"samples": "integer", "deviation": "number"}),
        (
            "occlusion",
            {"window": 8, "stride": 8, "baseline": 0.5},
            {"baseline": "number", "window": "integer?", "stride": "integer?"},
        ),
    ):
        given = {**plain, "method": method, "progress": False, **options}
        found[f"attribute by {method}"] = Call(ph.attribute, given.copy, {**settings, **types})
    reading = {"count": "integer?", "batch": "integer?", "on_error": "choice"}
    found["activations"] = Call(
        ph.activations,
        lambda: {
            "network": net,
            "images": few,
            "layers": ["conv", "head"],
            "batch": 2,
            "dtype": "float32",
            "count": 2,
            "executor": None,
            "on_error": "raise",
            "progress": False,
            "out": None,
        },
        {**reading, "dtype": "choice?", "out": "path?"},
    )
    found["activations into a store"] = Call(
        ph.activations,
        lambda: {
            "network": net,
            "images": few,
            "layers": "conv",
            "batch": 2,
            "dtype": "float16",
            "count": 2,
            "executor": None,
            "on_error": "raise",
            "progress": False,
            "out": fresh(),
        },
        {**reading, "dtype": "choice?", "out": "path?"},
        slow=True,
    )
    found["units"] = Call(
        ph.units,
        lambda: {
            "network": net,
            "images": images[:4],
            "layer": "conv",
            "top": 2,
            "twins": 0.9,
            "border": False,
            "batch": 2,
            "count": 4,
            "executor": None,
            "on_error": "raise",
            "progress": False,
        },
        {**reading, "layer": "text", "top": "integer", "twins": "number", "border": "flag"},
    )
    found["embed"] = Call(
        ph.embed,
        lambda: {
            "network": net,
            "images": images[:8],
            "layer": "conv",
            "method": "pca",
            "dimensions": 2,
            "seed": 0,
            "thumbnails": False,
            "count": 8,
            "progress": False,
        },
        {
            "layer": "text",
            "method": "choice",
            "dimensions": "integer",
            "seed": "integer",
            "thumbnails": "flag",
            "count": "integer?",
        },
    )
    found["embed by t-SNE"] = Call(
        ph.embed,
        lambda: {
            "network": net,
            "images": images[:8],
            "layer": "conv",
            "method": "tsne",
            "dimensions": 2,
            "seed": 0,
            "perplexity": 2.0,
            "max_iter": 250,
        },
        {"seed": "integer", "dimensions": "integer"},
        slow=True,
    )
    found["probe"] = Call(
        ph.probe,
        lambda: {
            "network": net,
            "images": images[:12],
            "labels": [0, 1] * 6,
            "layers": "conv",
            "seed": 0,
            "folds": 2,
        },
        {"seed": "integer", "folds": "integer"},
    )
    rows = np.abs(np.random.default_rng(1).standard_normal((40, 6)))
    found["factorize"] = Call(
        ph.factorize,
        lambda: {
            "store": {"conv": rows},
            "layer": "conv",
            "k": 2,
            "method": "kmeans",
            "active": 1,
            "samples": 30,
            "seed": 0,
            "scaling": "none",
            "network": None,
            "images": None,
        },
        {
            "layer": "text",
            "k": "integer",
            "method": "choice",
            "active": "integer",
            "samples": "integer",
            "seed": "integer",
            "scaling": "choice",
        },
    )
    found["factorize with images"] = Call(
        ph.factorize,
        lambda: {"store": rows[:24], "layer": "conv", "k": 2, "method": "nmf", "network": net, "images": images},
        {"layer": "text", "k": "integer", "method": "choice"},
    )
    found["concept"] = Call(
        ph.concept,
        lambda: {
            "network": net,
            "layer": "conv",
            "positives": images[:6],
            "negatives": images[6:12],
            "target": 0,
            "images": images[:2],
            "trials": 20,
            "folds": 2,
            "seed": 0,
            "label": "stripes",
        },
        {"layer": "text", "trials": "integer?", "folds": "integer", "seed": "integer", "label": "text"},
        slow=True,
    )
    found["compare layers"] = Call(
        ph.compare,
        lambda: {
            "networks": [net, other],
            "targets": None,
            "images": images[:8],
            "layers": ["conv", "conv"],
            "units": None,
            "size": None,
            "steps": 4,
            "preset": None,
            "seed": 0,
            "progress": False,
        },
        {"steps": "integer?", "preset": "choice?", "seed": "integer", "units": "integer?", "size": "integer?"},
    )
    found["compare pictures"] = Call(
        ph.compare,
        lambda: {
            "networks": [net, other],
            "targets": [0],
            "images": None,
            "layers": None,
            "units": None,
            "size": 16,
            "steps": 2,
            "preset": None,
            "seed": 0,
            "progress": False,
            "warm_up": 0,
            "slots": 2,
        },
        {"steps": "integer?", "preset": "choice?", "seed": "integer", "size": "integer?"},
        slow=True,
    )
    found["parity"] = Call(
        ph.parity,
        lambda: {
            "net_a": net,
            "net_b": other,
            "images": few,
            "layers": {"conv": "conv"},
            "tolerance": 1e-4,
            "gradients": 1,
            "batch": 2,
            "progress": False,
        },
        {"tolerance": "number", "gradients": "integer", "batch": "integer?"},
    )
    found["feature_maps"] = Call(
        ph.feature_maps,
        lambda: {
            "network": net,
            "images": few,
            "layer": "conv",
            "channels": [0, 2],
            "strongest": None,
            "aggregate": (),
        },
        {"layer": "text", "strongest": "integer?", "channels": "integers?"},
    )
    found["feature_maps over channels"] = Call(
        ph.feature_maps,
        lambda: {
            "network": net,
            "images": few,
            "layer": "conv",
            "channels": None,
            "strongest": None,
            "aggregate": ["mean"],
        },
        {"layer": "text"},
    )
    pictures = ph.render(net, [ph.channel("conv", 0), ph.channel("conv", 1)], steps=2, warm_up=0, progress=False)
    found["assess"] = Call(
        ph.assess,
        lambda: {
            "network": net,
            "renders": pictures,
            "images": images,
            "objectives": None,
            "seeds": 1,
            "pairs": 2,
            "draws": 1,
            "judge": lambda shown, patches: np.ones((len(shown), len(patches))),
            "thresholds": trust.Thresholds(),
            "progress": False,
        },
        {"seeds": "integer", "pairs": "integer", "draws": "integer"},
        slow=True,
    )
    found["quiz"] = Call(
        ph.quiz,
        lambda: {"network": net, "renders": pictures, "images": images, "questions": 2, "seed": 0, "objectives": None},
        {"questions": "integer", "seed": "integer"},
    )
    found["diagnose"] = Call(
        ph.diagnose,
        lambda: {"network": net, "objectives": [ph.channel("conv", 0)], "images": images[:8], "seed": 0},
        {"seed": "integer"},
    )
    found["receptive_field"] = Call(
        receptive_field.receptive_field,
        lambda: {"network": net, "layer": "conv", "size": (16, 16)},
        {"layer": "text"},
    )
    found["receptive_fields"] = Call(
        receptive_field.receptive_fields,
        lambda: {"network": net, "layer": "conv", "size": (16, 16)},
        {"layer": "text"},
    )
    found["bench"] = Call(
        ph.bench,
        lambda: {
            "model": net,
            "layer": "conv",
            "batches": [1],
            "size": 16,
            "steps": 1,
            "rounds": 3,
            "backends": None,
            "devices": None,
            "dtypes": None,
            "options": None,
            "progress": lambda state: False,
        },
        {"layer": "text?", "steps": "integer", "rounds": "integer", "size": "integer?"},
        slow=True,
    )
    found["window"] = Call(
        atlas.window,
        lambda: {"network": net, "layer": "conv", "size": (16, 16), "mass": 0.9},
        {"layer": "text", "mass": "number"},
    )
    found["patch_test"] = Call(
        atlas.patch_test,
        lambda: {
            "network": net,
            "cues": few[:, :6, :6],
            "controls": few[:, 6:12, 6:12],
            "images": images[:4],
            "target": 0,
            "tries": 4,
            "seed": 0,
            "sizes": (1.0, 1.0),
            "in_step": True,
            "batch": 4,
            "count": 4,
            "executor": None,
            "progress": False,
        },
        {"tries": "integer", "seed": "integer", "in_step": "flag", "batch": "integer", "count": "integer?"},
    )
    found |= settings_calls()
    found |= atlas_calls(folder, fresh)
    found |= store_calls(folder, fresh)
    found |= layer_calls(net)
    found |= result_calls(folder, fresh)
    return found
