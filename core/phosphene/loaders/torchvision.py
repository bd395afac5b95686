"""``torchvision:NAME``: image classification and segmentation models of torchvision."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from phosphene.errors import CorruptWeights, InvalidParameter, MissingWeights, nearest
from phosphene.loaders.assignment import fill_module
from phosphene.loaders.download import in_torch_cache
from phosphene.loaders.packages import importing
from phosphene.loaders.request import RANDOM, Loaded, Request, calling, seeded
from phosphene.loaders.weight_files import read_torch, refused

__all__ = ["load"]

INCEPTIONS = ("googlenet", "inception_v3")
FIX = "Check that it is a file of this architecture. For other outputs pass classes=[...] or arguments={'num_classes': 10}."


def load(request: Request) -> Loaded:
    """Load a model of torchvision, with the size, normalisation and class names of its weights.

    `weights` may also be the name of published weights, such as "IMAGENET1K_V1".

    Raises
    ------
    UnusablePackage
        If torchvision is not installed, or does not fit the installed PyTorch.
    InvalidParameter
        If the name is unknown, or the architecture does not accept the arguments.
    MissingWeights
        If published weights are not on this machine and cannot be downloaded.
    CorruptWeights
        If a weights file cannot be read or does not fit.
    """
    request.only("torch", "torchvision")
    with importing("torchvision", "torchvision"):
        from torchvision import models
    _check_name(request.name, models)
    segments = request.name in models.list_models(module=models.segmentation)
    published = models.get_model_weights(request.name)
    chosen = published.DEFAULT if request.weights is None else published.__members__.get(str(request.weights))
    arguments = dict(request.arguments)
    notes: Sequence[str] = ()
    if chosen is not None:
        model = _published(request, models, chosen, arguments)
    else:
        if request.file is not None and not request.file.suffix:
            raise InvalidParameter(
                "weights",
                allowed=f"'random', a file, or {' or '.join(map(repr, published.__members__))}",
                received=request.weights,
                fix=f"The names are those of the published weights of {request.name}; a file needs an ending such as .safetensors.",
            )
        arrays: Mapping[str, Any] | None = None
        arguments = {**_defaults(request), **arguments}
        if segments:
            arguments.setdefault("weights_backbone", None)
        if request.file is not None:
            arrays, notes = read_torch(request.file)
            beside = any(key.startswith(("aux", "Aux")) for key in arrays)
            if request.name in INCEPTIONS:
                arguments.setdefault("aux_logits", beside)
            elif segments and not request.name.startswith("lraspp"):
                arguments.setdefault("aux_loss", beside)
        with seeded(request.seed), calling(request.name, arguments):
            model = models.get_model(request.name, weights=None, **arguments)
        if arrays is not None:
            fill_module(model, arrays, str(request.file), FIX)
    return Loaded(model.eval(), _settings(request.name, chosen or published.DEFAULT, arguments, segments), notes)


def _check_name(name: str, models: Any) -> None:
    usable = models.list_models(module=models) + models.list_models(module=models.segmentation)
    if name in usable:
        return
    if name in models.list_models():
        raise InvalidParameter(
            "name",
            allowed="an image classification or segmentation model",
            received=f"torchvision:{name}",
            fix=f"Build it with torchvision.models.get_model({name!r}) and pass its backbone to ph.wrap.",
        )
    near = nearest(name, usable)
    raise InvalidParameter(
        "name",
        allowed=f"one of the {len(usable)} classification and segmentation models of torchvision",
        received=name,
        fix=f"Did you mean {near}?" if near else "torchvision.models.list_models() lists the names.",
    )


def _defaults(request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(request.own_outputs)
    if request.name in INCEPTIONS:
        # Their published weights were trained with another normalisation, which the model then applies itself.
        arguments |= {"init_weights": request.weights == RANDOM, "transform_input": request.weights != RANDOM}
    return arguments


def _published(request: Request, models: Any, chosen: Any, arguments: Mapping[str, Any]) -> Any:
    place = in_torch_cache(chosen.url)
    try:
        # torchvision would unpickle the cached file; reading it with weights_only first ensures that it holds only arrays.
        chosen.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except pickle.UnpicklingError as error:
        raise refused(place, error) from error
    except OSError as error:
        raise MissingWeights(place.name, chosen.url, str(place), str(error)) from error
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorruptWeights(str(place), f"cannot be read ({reason}). Delete it to download it again.") from error
    with seeded(request.seed), calling(request.name, arguments):
        return models.get_model(request.name, weights=chosen, **arguments)


def _settings(name: str, weights: Any, arguments: Mapping[str, Any], segments: bool) -> dict[str, Any]:
    transform = weights.transforms()
    sides = list(getattr(transform, "crop_size", None) or transform.resize_size)
    resized, cut = (getattr(transform, name, None) for name in ("resize_size", "crop_size"))
    categories = tuple(weights.meta.get("categories", ()))
    named = len(categories) == arguments.get("num_classes", len(categories)) and categories
    return {
        "size": (int(sides[0]), int(sides[-1])),
        "fraction": min(1.0, cut[0] / resized[0]) if cut and resized else 1.0,
        "mean": transform.mean,
        "std": transform.std,
        "classes": categories if named else None,
        "name": name,
        **({"output": "out"} if segments else {}),
    }
