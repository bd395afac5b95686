"""`load`: a network by name. One small file for each place that names come from."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phosphene.backend import Network
from phosphene.errors import InvalidParameter, ModelWarning, nearest, said
from phosphene.loaders import factory, specimens
from phosphene.loaders.request import RANDOM, Loaded, Request, placed
from phosphene.types import Size
from phosphene.wrapping import wrap

__all__ = ["load"]

SCHEMES = {"torchvision": "torchvision", "timm": "timm", "hf": "transformers"}
"""What may stand in front of the colon, and the file here that loads it."""

FORMS = (
    *(repr(name) for name in specimens.NAMES),
    *(repr(f"{scheme}:NAME") for scheme in SCHEMES),
    "'package.module:factory'",
)
FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
OURS = ("model", "size", "classes", "backend", "device", "dtype", "name")
"""Parameters of `wrap` that are parameters of `load` as well, or are none of the caller's."""


def load(
    name: str,
    *,
    backend: str | None = None,
    weights: str | Path | None = None,
    size: int | Size | None = None,
    classes: Sequence[str] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    seed: int = 0,
    arguments: Mapping[str, Any] | None = None,
    **options: Any,
) -> Network:
    """A network by name.

    Size, normalisation and class names come from the model's own configuration; what is given here wins.

    Parameters
    ----------
    name : str
        "specimen", "specimen-witness" or "specimen-shortcut": the networks that come with the package.
        "torchvision:NAME", "timm:NAME": an architecture of these packages. "hf:NAME": a model of transformers, on the Hugging
        Face hub or in a folder made by ``save_pretrained``; with ``weights="random"`` also a model type, such as "vit".
        "package.module:factory": what a function of yours returns; the current directory is importable.
    backend : str, optional
        "torch" or "jax". Only the embedded networks exist in both, and are then PyTorch's; else found from the model.
    weights : str or Path, optional
        The published ones when absent, and what a factory returns is taken as it is. "random": drawn from `seed`. The path of
        a ``.safetensors`` file, or of a state dict of PyTorch (``.pt``, ``.pth``, ``.bin``, ``.ckpt``), which fits the
        architecture in every key and shape. Nothing is ever unpickled.
    size : int or (int, int), optional
        Height and width in pixels at which the model is at home. A factory says nothing of it, so there it is needed.
    classes : sequence of str, optional
        Names of its outputs; with `weights` also their number.
    device, dtype : str, optional
        Where and in which precision to compute.
    seed : int, default 0
        Of random weights. The random state of the process is left as it was.
    arguments : mapping, optional
        For the architecture or the factory: ``{"num_classes": 10}``.
    **options
        ``mean``, ``std``, ``range``, ``inputs``, ``output`` and what else `phosphene.wrap` takes.

    Returns
    -------
    Network

    Raises
    ------
    InvalidParameter
        For another name, or parameters that do not fit it.
    MissingDependency
        When a package or a framework that it needs is not installed.
    MissingWeights
        When published weights are not on this machine and cannot be fetched.
    CorruptWeights
        When weights cannot be read without running code, or at all, or do not fit.
    ModelFailed
        When a factory raises, or the model does not take images of that size.
    """
    _check(name, weights, options)
    request = Request(
        name,
        weights=weights,
        seed=seed,
        backend=backend,
        size=None if size is None else (size, size) if isinstance(size, int) else (int(size[0]), int(size[1])),
        classes=None if classes is None else tuple(classes),
        arguments=dict(arguments or {}),
    )
    loaded, ours = _loaded(request)
    for note in loaded.notes:
        warnings.warn(f"{note}.", ModelWarning, stacklevel=2)
    given = {"size": size, "classes": request.classes, "backend": backend, "device": device, "dtype": dtype, **options}
    given = {key: value for key, value in given.items() if value is not None}
    if isinstance(loaded.model, Network):
        if given:
            raise InvalidParameter(
                ", ".join(given), allowed="nothing for a factory that returns a Network",
                received=said(", ".join(map(repr, given.values()))), fix="Say it where the factory wraps its model.",
            )  # fmt: skip
        return loaded.model
    if "size" not in {**loaded.settings, **given}:
        raise InvalidParameter(
            "size", allowed="height and width in pixels", received=None,
            fix=f"What {name} returns does not say at which size it is at home: write size=224, for example.",
        )  # fmt: skip
    model = placed(loaded.model, device, dtype) if ours else loaded.model
    settings: dict[str, Any] = {**loaded.settings, **given}
    return wrap(model, **settings)


def _loaded(request: Request) -> tuple[Loaded, bool]:
    """What the name stands for, and whether it is a PyTorch module that nobody else holds."""
    name = request.name
    if name in specimens.NAMES:
        return specimens.load(request), False
    scheme, colon, rest = name.partition(":")
    if colon and scheme in SCHEMES:
        loader = importlib.import_module(f"phosphene.loaders.{SCHEMES[scheme]}")
        loaded: Loaded = loader.load(Request(**{**vars(request), "name": rest}))
        return loaded, True
    if FACTORY.fullmatch(name):
        return factory.load(request, [f"{scheme}:" for scheme in SCHEMES]), False
    near = nearest(name, specimens.NAMES)
    fix = (
        f"Did you mean {near}?" if near else "In front of a package's model stands the package: 'torchvision:resnet50'."
    )
    raise InvalidParameter("name", allowed=f"{', '.join(FORMS[:-1])} or {FORMS[-1]}", received=name, fix=fix)


def _check(name: object, weights: object, options: Mapping[str, Any]) -> None:
    if not isinstance(name, str):
        raise InvalidParameter(
            "name", allowed=f"a name: {', '.join(FORMS)}", received=name, fix="A model is handed to ph.wrap."
        )
    if not (weights is None or isinstance(weights, str | Path)) or weights == "":
        raise InvalidParameter(
            "weights", allowed=f"None, {RANDOM!r} or the path of a file", received=weights,
            fix="Arrays are given to the model, and the model to ph.wrap.",
        )  # fmt: skip
    known = [parameter for parameter in inspect.signature(wrap).parameters if parameter not in OURS]
    for option in options:
        if option not in known:
            near = nearest(option, [*known, *inspect.signature(load).parameters])
            raise InvalidParameter(
                option, allowed=f"one of {', '.join(known)}, besides those of ph.load", received=options[option],
                fix=f"Did you mean {near}?" if near else "Arguments of an architecture go into arguments={...}.",
            )  # fmt: skip
