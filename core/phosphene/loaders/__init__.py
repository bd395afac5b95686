"""`load`: load a network by name."""

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
from phosphene.kit.checks import integer, names, pair_of, text
from phosphene.loaders import factory, specimens
from phosphene.loaders.request import RANDOM, Loaded, Request, placed
from phosphene.types import Size
from phosphene.wrapping import wrap

__all__ = ["load"]

SCHEMES = {"torchvision": "torchvision", "timm": "timm", "hf": "transformers"}
"""Prefixes of names, and the module here that loads them."""

FORMS = (
    *(repr(name) for name in specimens.NAMES),
    *(repr(f"{scheme}:NAME") for scheme in SCHEMES),
    "'package.module:factory'",
)
FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
OURS = ("model", "size", "classes", "backend", "device", "dtype", "name")
"""Parameters of `wrap` that are parameters of `load` too, or that the caller cannot set."""


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
    """Load a network by name.

    Size, normalisation and class names are read from the model's configuration; arguments given here take precedence.

    Parameters
    ----------
    name : str
        "specimen", "specimen-witness" or "specimen-shortcut": a network that is included in the package.
        "torchvision:NAME" or "timm:NAME": an architecture of these packages. "hf:NAME": a model of transformers, on the
        Hugging Face hub or in a folder written by ``save_pretrained``; with ``weights="random"`` also a model type, such as
        "vit". "package.module:factory": the model that your own function returns; modules in the current directory can be
        imported. The function may also return ``ph.wrap(model, size=...)``, which then states everything.
    backend : str, optional
        "torch" or "jax" (default: found from the model; "torch" for the embedded networks, which exist in both).
    weights : str or Path, optional
        "random" for weights drawn from `seed`, or the path of a ``.safetensors`` file or a PyTorch state dict (``.pt``,
        ``.pth``, ``.bin``, ``.ckpt``) that fits the architecture in all keys and shapes (default: the published weights; for
        a factory, the weights of the model that it returns). No file is ever unpickled.
    size : int or (int, int), optional
        The model's native input size (height, width) in pixels (default: from its configuration; required for a factory
        that returns a model).
    classes : sequence of str, optional
        Names of the classes; with `weights` they also set the number of outputs.
    device, dtype : str, optional
        Device and precision of the computation (default: those of the model).
    seed : int, default 0
        Random seed of random weights. The random state of the process is not changed.
    arguments : mapping, optional
        Arguments of the architecture or the factory: ``{"num_classes": 10}``.
    **options
        Further arguments of `phosphene.wrap`, such as ``mean``, ``std``, ``range``, ``inputs`` and ``output``.

    Returns
    -------
    Network

    Raises
    ------
    InvalidParameter
        If the name is unknown, or an argument does not apply to it.
    MissingDependency
        If a package or framework that the model needs is not installed.
    MissingWeights
        If published weights are not on this machine and cannot be downloaded.
    CorruptWeights
        If weights cannot be read, need code to be run, or do not fit.
    ModelFailed
        If a factory raises, or the model does not accept images of that size.
    """
    _check(name, weights, options)
    for parameter, value, example in (
        ("backend", backend, "torch"),
        ("device", device, "cpu"),
        ("dtype", dtype, "float32"),
    ):
        if value is not None:
            text(parameter, value, fix=f'For example {parameter}="{example}".')
    fix = 'For example classes=["cat", "dog"], in the order of the logits.'
    request = Request(
        name,
        weights=weights,
        seed=integer("seed", seed, maximum=LARGEST_SEED),
        backend=backend,
        size=None if size is None else pair_of("size", size),
        classes=None if classes is None else names("classes", classes, fix=fix),
        arguments=_arguments(arguments),
    )
    loaded, ours = _loaded(request)
    for note in loaded.notes:
        warnings.warn(f"{note}.", ModelWarning, stacklevel=2)
    given: dict[str, Any] = {
        "size": size,
        "classes": request.classes,
        "backend": backend,
        "device": device,
        "dtype": dtype,
        **options,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if isinstance(loaded.model, Network):
        if given:
            raise InvalidParameter(
                ", ".join(given),
                allowed=f"nothing, since {name} returns a network that is wrapped already",
                received=said(", ".join(map(repr, given.values()))),
                fix="It is stated in the factory, where it calls ph.wrap: change it there.",
            )
        return loaded.model
    if "size" not in {**loaded.settings, **given}:
        raise InvalidParameter(
            "size",
            allowed="height and width in pixels",
            received=None,
            fix=f"The model that {name} returns does not state its input size: pass it, for example size=224.",
        )
    model = placed(loaded.model, device, dtype) if ours else loaded.model
    settings: dict[str, Any] = {**loaded.settings, **given}
    return wrap(model, **settings)


def _loaded(request: Request) -> tuple[Loaded, bool]:
    """Return the model of a name, and whether it is a PyTorch module that nothing else refers to."""
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
        f"Did you mean {near}?"
        if near
        else "A model of a package needs its prefix, for example 'torchvision:resnet50'."
    )
    raise InvalidParameter("name", allowed=f"{', '.join(FORMS[:-1])} or {FORMS[-1]}", received=name, fix=fix)


LARGEST_SEED = 2**63 - 1
"""Largest seed that every framework takes."""


def _arguments(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise InvalidParameter(
            "arguments",
            allowed="a mapping of names to values",
            received=given,
            fix='For example arguments={"num_classes": 10}.',
        )
    return dict(given)


def _check(name: object, weights: object, options: Mapping[str, Any]) -> None:
    if not isinstance(name, str):
        raise InvalidParameter(
            "name",
            allowed=f"a name: {', '.join(FORMS[:-1])} or {FORMS[-1]}",
            received=name,
            fix="Pass a model to ph.wrap.",
        )
    if not (weights is None or isinstance(weights, str | Path)) or weights == "":
        raise InvalidParameter(
            "weights",
            allowed=f"None, {RANDOM!r} or the path of a file",
            received=weights,
            fix="Load arrays into the model yourself, and pass the model to ph.wrap.",
        )
    known = [parameter for parameter in inspect.signature(wrap).parameters if parameter not in OURS]
    for option in options:
        if option not in known:
            near = nearest(option, [*known, *inspect.signature(load).parameters])
            raise InvalidParameter(
                option,
                allowed=f"an argument of ph.load or one of {', '.join(known)}",
                received=options[option],
                fix=f"Did you mean {near}?" if near else "Pass arguments of the architecture as arguments={...}.",
            )
