"""Small valid calls of the functions that make pictures, by name, for tests that replace their arguments by odd ones."""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import phosphene as ph
from phosphene.backend import Network
from small_models import small_network

__all__ = ["SIZE", "Call", "calls", "network"]

SIZE = 8
CLASSES = ("cat", "dog", "crane", "crane", "owl")
PICTURE = np.random.default_rng(5).random((SIZE, SIZE, 3)).astype(np.float32)

Call = tuple[str, Callable[..., Any], dict[str, Callable[[], Any]]]
"""Name, function, and a maker of a valid value for each argument."""


@functools.cache
def network(backend: str) -> Network:
    return ph.wrap(small_network(backend), size=SIZE, classes=list(CLASSES))


def calls(backend: str, folder: Path) -> list[Call]:
    """The calls; what they write goes to new folders in `folder`, and odd relative paths to the current directory."""
    return [*_whole(backend, folder), *_objectives(backend), *_parts(backend), *_arithmetic(backend)]


def _defaults(make: Callable[..., Any]) -> dict[str, Any]:
    kinds = inspect.signature(make).parameters.values()
    return {item.name: item.default for item in kinds if item.default is not item.empty}


def _made(**values: Any) -> dict[str, Callable[[], Any]]:
    return {name: functools.partial(lambda value: value, value) for name, value in values.items()}


def _whole(backend: str, folder: Path) -> list[Call]:
    net, unit = network(backend), ph.channel("conv", 0)
    quiet = {"steps": 1, "progress": False}
    numbers = itertools.count()
    model = small_network(backend)
    written = folder / "picture.npz"
    ph.render(net, unit, steps=1, size=SIZE, progress=False).save(written)

    def sheet(out: Any, **others: Any) -> Any:
        return ph.render_all(out=folder / f"sheet{next(numbers)}" if out is None else out, **others)

    def layers_of(path: Any, size: Any) -> Any:
        return net.layers[path], path in net.layers, net.shapes(size)

    given = {
        "wrap": (ph.wrap, {**_defaults(ph.wrap), "model": model, "size": SIZE}),
        "InputSpec": (ph.InputSpec, {**_defaults(ph.InputSpec), "size": (SIZE, SIZE)}),
        "layers": (layers_of, {"path": "conv", "size": (SIZE, SIZE)}),
        "render": (
            ph.render,
            {**_defaults(ph.render), "network": net, "objectives": [unit], "warm_up": 0, "transforms": [], **quiet},
        ),
        "render of two": (
            ph.render,
            {
                "network": net,
                "objectives": [unit, ph.logit(1)],
                "size": (SIZE, SIZE + 1),
                "preset": "plain",
                "snapshots": 1,
                "slots": 1,
                "patience": 2,
                "start": np.full((2, SIZE, SIZE + 1, 3), 0.5),
                "seed": 3,
                **quiet,
            },
        ),
        "render_all": (
            sheet,
            {
                "network": net,
                "layer": "conv",
                "out": None,
                "channels": (0, 1),
                "trust": False,
                "size": SIZE,
                "seed": 0,
                "batch": 2,
                "warm_up": 0,
                "transforms": [],
                **quiet,
            },
        ),
        "invert": (
            ph.invert,
            {**_defaults(ph.invert), "network": net, "source": PICTURE, "layer": "conv", "transforms": [], **quiet},
        ),
        "dream": (
            ph.dream,
            {**_defaults(ph.dream), "network": net, "image": PICTURE, "objective": unit, "octaves": 1, **quiet},
        ),
        "accentuate": (
            ph.accentuate,
            {
                **_defaults(ph.accentuate),
                "network": net,
                "image": PICTURE,
                "objective": unit,
                "layer": "norm",
                "weights": (1.0,),
                "transforms": [],
                **quiet,
            },
        ),
        "replay": (ph.replay, {"source": written, "network": net, "backend": None}),
        "image_statistics": (
            lambda images: ph.parameterizations.image_statistics(images),
            {"images": np.stack([PICTURE, PICTURE[::-1]])},
        ),
    }
    return [(name, function, _made(**arguments)) for name, (function, arguments) in given.items()]


REQUIRED: dict[str, Any] = {
    "layer": "conv",
    "channel": 1,
    "channels": [0, 1],
    "vector": np.ones(8),
    "wanted": 1,
    "function": lambda xp, activations: xp.mean(activations["conv"], axis=(1, 2, 3)),
    "pattern": np.ones((2, 2, 8)),
    "first": ph.channel("conv", 0),
    "second": ph.logit(1),
    "objective": ph.channel("conv", 0),
    "count": 2,
}


def _objectives(backend: str) -> list[Call]:
    """Constructors of objectives, whose objectives are bound to a network and have their titles read."""
    net = network(backend)

    def bound(make: Callable[..., Any], **arguments: Any) -> Any:
        made = make(**arguments)
        for item in made if isinstance(made, list) else [made]:
            item.bind(net, net.shapes((SIZE, SIZE))).label.encode("utf-8", "backslashreplace")
        return made

    found: list[Call] = []
    for name in ph.objectives.__all__:
        make = getattr(ph.objectives, name)
        if inspect.isfunction(make):
            own = {key: REQUIRED[key] for key in inspect.signature(make).parameters if key in REQUIRED}
            if name == "match":
                own["wanted"] = np.ones((SIZE, SIZE, 8))
            found.append((name, functools.partial(bound, make), _made(**{**_defaults(make), **own})))
    return found


def _parts(backend: str) -> list[Call]:
    """Makers of parts of a recipe, whose parts are used in a step on a small picture."""
    net, unit = network(backend), ph.channel("conv", 0)
    places = {
        "transforms": lambda made: {"transforms": [made]},
        "regularizers": lambda made: {"regularizers": [made], "parameterization": ph.parameterizations.pixel()},
        "optimizers": lambda made: {"optimizer": made},
        "parameterizations": lambda made: {"parameterization": made, "regularizers": []},
    }
    required: dict[str, Any] = {
        "pixels": 2,
        "low": 0.5,
        "high": 1.0,
        "size": 9,
        "weight": 0.1,
        "rate": 0.1,
        "steps": 3,
        "learning_rate": 0.05,
        "degrees": 5.0,
        "first": 0.5,
        "deviation": 0.1,
        "gain": 0.1,
        "shift": 0.1,
        "sigma": 1.0,
        "image": PICTURE,
        "radius": 0.1,
        "initial": lambda random, canvas: random.random(canvas),
        "decode": lambda xp, parameters, canvas: parameters,
    }

    def used(make: Callable[..., Any], place: Callable[[Any], dict[str, Any]], **arguments: Any) -> Any:
        made = make(**arguments)
        if make is ph.optimizers.cosine:
            made = ph.optimizers.adam(schedule=made)
        if backend != "torch":  # every value would be compiled anew
            return made
        repr(made).encode("utf-8", "backslashreplace")
        options = {"transforms": [], **place(made)}
        return ph.render(net, unit, steps=2, size=SIZE, warm_up=0, progress=False, crop=False, **options)

    found: list[Call] = []
    for space, place in places.items():
        for name in getattr(ph, space).__all__:
            make = getattr(getattr(ph, space), name)
            if inspect.isfunction(make) and name != "image_statistics":
                own = {key: required[key] for key in inspect.signature(make).parameters if key in required}
                found.append((name, functools.partial(used, make, place), _made(**{**_defaults(make), **own})))
    return found


def _arithmetic(backend: str) -> list[Call]:
    net, unit = network(backend), ph.channel("conv", 0)

    def both(operation: Callable[[Any, Any], Any], other: Any) -> Any:
        made = operation(unit, other)
        made.bind(net, net.shapes((SIZE, SIZE)))
        return made.label

    return [
        (f"objective {operation.__name__}", functools.partial(both, operation), _made(other=2.0))
        for operation in (operator.add, operator.sub, operator.mul, operator.truediv)
    ]


def cleared(folder: Path) -> None:
    """Remove the folders that calls have written."""
    for place in folder.glob("sheet*"):
        shutil.rmtree(place, ignore_errors=True)


def declared(name: str) -> dict[str, frozenset[str]]:
    """The types that the signature of a function of that name declares, by argument: ``{"steps": {"int", "None"}}``."""
    spaces: Any = (ph.objectives, ph.transforms, ph.regularizers, ph.optimizers, ph.parameterizations, ph)
    make = next((getattr(space, name) for space in spaces if name in space.__all__), None)
    if make is None:
        return {}
    return {key: _alternatives(str(item.annotation)) for key, item in inspect.signature(make).parameters.items()}


def _alternatives(annotation: str) -> frozenset[str]:
    """``"int | Sequence[int | str] | None"`` as ``{"int", "Sequence", "None"}``."""
    outer, depth = "", 0
    for letter in annotation:
        depth += (letter == "[") - (letter == "]")
        outer += letter if not depth and letter != "]" else ""
    return frozenset(part.strip() for part in outer.split("|"))
