"""``timm:NAME``: models of timm, by ``NAME`` or ``NAME.TAG``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from phosphene.errors import CorruptWeights, InvalidParameter, nearest
from phosphene.loaders.assignment import fill_module
from phosphene.loaders.download import from_hub, in_torch_cache
from phosphene.loaders.packages import importing
from phosphene.loaders.request import Loaded, Request, calling, seeded
from phosphene.loaders.weight_files import read_torch

__all__ = ["load"]

FIX = "Check that it is a file of this architecture. For other outputs pass classes=[...] or arguments={'num_classes': 10}."


def load(request: Request) -> Loaded:
    """Load a model of timm, with the size, normalisation and class names of its configuration.

    For an architecture of fixed input size, another `size` is passed as its ``img_size``.

    Raises
    ------
    UnusablePackage
        If timm is not installed, or torchvision, which it needs, does not fit the installed PyTorch.
    InvalidParameter
        If the name is unknown, has no published weights, or the architecture does not accept the arguments.
    MissingWeights
        If published weights are not on this machine and cannot be downloaded.
    CorruptWeights
        If a weights file cannot be read or does not fit.
    """
    request.only("torch", "timm")
    with importing("timm", "timm"):
        import timm
    published = _configuration(request.name, timm)
    arguments = {**request.own_outputs, **_resized(request, published), **request.arguments}
    notes: Sequence[str] = ()
    if request.weights is None:
        model = _published(request, timm, published, arguments)
    else:
        with seeded(request.seed), calling(request.name, arguments):
            model = timm.create_model(request.name, pretrained=False, **arguments)
        if request.file is not None:
            arrays, notes = read_torch(request.file, model.state_dict())
            fill_module(model, arrays, str(request.file), FIX)
    return Loaded(model.eval(), _settings(request, model, published), notes)


def _configuration(name: str, timm: Any) -> Any:
    """Return the published configuration of that name, or None if the architecture has none."""
    architecture, _, tag = name.partition(".")
    tagged = timm.list_pretrained(f"{architecture}.*") if timm.is_model(architecture) else []
    if not timm.is_model(architecture) or (tag and name not in tagged):
        near = nearest(name, tagged or [*timm.list_models(), *timm.list_pretrained()])
        raise InvalidParameter(
            "name",
            allowed=f"one of the {len(timm.list_models())} architectures of timm, optionally with .TAG to choose weights",
            received=name,
            fix=f"Did you mean {near}?" if near else "timm.list_models('*part*') lists the names.",
        )
    return timm.get_pretrained_cfg(name)


def _resized(request: Request, published: Any) -> dict[str, Any]:
    if request.size is None or not getattr(published, "fixed_input_size", False):
        return {}
    return {} if tuple(published.input_size[1:]) == request.size else {"img_size": request.size}


def _published(request: Request, timm: Any, published: Any, arguments: Mapping[str, Any]) -> Any:
    overlay = {}
    if published is None or not published.has_weights:
        raise InvalidParameter(
            "weights",
            allowed="'random' or a file, since timm has no published weights for this architecture",
            received=None,
            fix="timm.list_pretrained() lists the architectures with published weights.",
        )
    if published.hf_hub_id and not published.custom_load:
        given = published.hf_hub_filename
        # Passed to timm as a file: otherwise it contacts the hub each time, even for cached files.
        place = from_hub(published.hf_hub_id, [given] if given else ["model.safetensors", "pytorch_model.bin"])
        overlay = {"file": str(place)}
    elif published.hf_hub_id:
        place = from_hub(published.hf_hub_id, [published.hf_hub_filename or "model.safetensors"])
    else:
        place = in_torch_cache(published.url if isinstance(published.url, str) else published.url[0])
    try:
        with seeded(request.seed), calling(request.name, arguments):
            return timm.create_model(request.name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    except (OSError, EOFError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorruptWeights(
            str(place), f"{reason}. If the file is damaged, delete it to download it again."
        ) from error


def _settings(request: Request, model: Any, published: Any) -> dict[str, Any]:
    configuration = model.pretrained_cfg
    channels, height, width = configuration.get("input_size", (3, 224, 224))
    channels = request.arguments.get("in_chans", channels)
    settings: dict[str, Any] = {"size": (int(height), int(width)), "channels": int(channels), "name": request.name}
    for key, usual in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
        values = configuration.get(key, usual)
        # For another number of channels than the configuration has, only the mean over its channels is known.
        settings[key] = values if len(values) in (1, channels) else sum(values) / len(values)
    # timm resizes the shorter side to size / crop_pct, or both sides where it squashes, and cuts out the centre.
    settings["fit"] = {"squash": "stretch", "border": "pad"}.get(configuration.get("crop_mode"), "crop")
    settings["fraction"] = min(1.0, float(configuration.get("crop_pct") or 1.0))
    settings["classes"] = _classes(model, published)
    return settings


def _classes(model: Any, published: Any) -> tuple[str, ...] | None:
    """Return class names from the configuration, or of the ImageNet version with as many classes."""
    count = int(getattr(model, "num_classes", 0) or 0)
    names = model.pretrained_cfg.get("label_names")
    described = model.pretrained_cfg.get("label_descriptions") or {}
    if names is not None and len(names) == count:
        return tuple(str(described.get(name, name)) for name in names)
    if published is None or published.num_classes != count:
        return None
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": count})
    if subset is None:
        return None
    full = [str(text) for text in ImageNetInfo(subset).label_descriptions()]
    short = Counter(text.partition(",")[0] for text in full)
    return tuple(first if short[first := text.partition(",")[0]] == 1 else text for text in full)
