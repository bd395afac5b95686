"""Preprocessing of transformers models: from ``preprocessor_config.json``, or else the usual one of the model type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phosphene.errors import MissingWeights
from phosphene.loaders.download import from_hub_with
from phosphene.types import Size

__all__ = ["Preprocessing", "settings_of"]

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
HALF = frozenset(
    "vit beit bit data2vec-vision mobilenet_v1 mobilenet_v2 siglip siglip_vision_model siglip2 siglip2_vision_model".split()
)
"""Model types whose published models map [0, 1] to [-1, 1]; most others use the normalisation of ImageNet."""
SHORTEST_EDGE = tuple("bit clip chineseclip chinese_clip convnext levit mobilenet mobilevit poolformer".split())
"""Beginnings of the names of processors for which one number is the shorter side of the resized image; others make a square."""
SIZE = (224, 224)


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a model's input.

    Attributes
    ----------
    settings : mapping
        ``size``, ``channels``, ``range``, ``mean``, ``std``, ``fit`` and ``fraction`` for `phosphene.wrap`.
    notes : sequence of str
        Assumptions that the user should know of.
    """

    settings: Mapping[str, Any]
    notes: Sequence[str]


def settings_of(name: str, configuration: Any, *, local: bool) -> Preprocessing:
    """Return the input size and normalisation of a model.

    Parameters
    ----------
    name : str
        A folder, a repository of the hub, or a model type.
    configuration : transformers.PretrainedConfig
        The model's configuration; its ``image_size`` is used if the file states no size.
    local : bool
        Whether `name` is not a repository, so that nothing is downloaded.

    Returns
    -------
    Preprocessing
    """
    usual = _usual(configuration.model_type)
    read = _read(name, local)
    notes = []
    if read is None or (_normalises(read) and not read.get("image_mean")):
        what = (
            "no preprocessor_config.json was found"
            if read is None
            else "its preprocessor_config.json has no image_mean"
        )
        notes = [
            f"{name}: {what}, so the usual preprocessing of {configuration.model_type!r} is assumed; if it is wrong, pass mean, "
            "std and size"
        ]
    given: Mapping[str, Any] = {**usual, **{key: value for key, value in (read or {}).items() if value is not None}}
    tower = getattr(configuration, "vision_config", configuration)
    channels = int(getattr(tower, "num_channels", 3))
    settings: dict[str, Any] = {
        "size": _size(read) or _sides(getattr(tower, "image_size", None)) or SIZE,
        "channels": channels,
        "range": _range(given),
        "mean": 0.0,
        "std": 1.0,
        **_fit(read, configuration.model_type),
    }
    if _normalises(given):
        for key in ("mean", "std"):
            values = given[f"image_{key}"]
            values = [values] if isinstance(values, int | float) else list(values)
            settings[key] = values if len(values) in (1, channels) else [sum(values) / len(values)]
    if given.get("do_flip_channel_order"):
        notes.append(
            f"{name} was trained on images with channels in the order blue, green, red, but gets them as red, green, blue"
        )
    return Preprocessing(settings, notes)


def _read(name: str, local: bool) -> Mapping[str, Any] | None:
    from transformers.image_processing_base import ImageProcessingMixin

    folder = Path(name).expanduser()

    def fetch(here: bool) -> Mapping[str, Any]:
        source = str(folder) if folder.is_dir() else name
        found: Mapping[str, Any] = ImageProcessingMixin.get_image_processor_dict(source, local_files_only=here)[0]
        return found

    try:
        return fetch(True) if local else from_hub_with(f"{name} (preprocessor_config.json)", fetch)
    except (OSError, MissingWeights):
        return None


def _usual(model_type: str) -> dict[str, Any]:
    """Return the usual preprocessing of published models of this type."""
    if model_type in HALF:
        return {key: [0.5, 0.5, 0.5] for key in ("image_mean", "image_std")}
    if model_type == "mobilevit":
        return {"do_normalize": False, "do_flip_channel_order": True}
    return dict(CLIP if model_type.startswith(("clip", "metaclip", "altclip")) else IMAGENET)


def _normalises(given: Mapping[str, Any]) -> bool:
    return bool(given.get("do_normalize", True))


def _range(given: Mapping[str, Any]) -> tuple[float, float]:
    """Return the values of black and white before the normalisation."""
    if given.get("do_rescale") is False:
        return (0.0, 255.0)
    white = 255.0 * float(given.get("rescale_factor") or 1 / 255)
    if given.get("rescale_offset"):
        return (-1.0, round(white, 6) - 1.0)
    return (0.0, round(white, 6))


def _size(given: Mapping[str, Any] | None) -> Size | None:
    """Return height and width of the model's input: those of the crop, if there is one."""
    if given is None:
        return None
    crops = given.get("do_center_crop", "crop_size" in given)
    return (_sides(given.get("crop_size")) if crops else None) or _sides(given.get("size"))


def _fit(given: Mapping[str, Any] | None, model_type: str = "") -> dict[str, Any]:
    """Return the resizing rule, and the share that is cut out of the resized image, as the processors of transformers do it."""
    if given is None or given.get("do_resize") is False:
        return {}
    processor = str(given.get("image_processor_type") or given.get("feature_extractor_type") or model_type).lower()
    size, crop, share = given.get("size"), _sides(given.get("crop_size")), given.get("crop_pct")
    cuts = crop is not None and given.get("do_center_crop", "crop_size" in given)
    edge = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if isinstance(size, int) and (share is not None or processor.startswith(SHORTEST_EDGE)):
        edge = size
    if share is None and processor.startswith("convnext"):
        share = 224 / 256
    if isinstance(edge, int) and edge > 0:
        if share is not None and not cuts and edge >= 384:
            return {"fit": "stretch", "fraction": 1.0}  # of ConvNeXt and those that share its processor
        if share is None and cuts and crop is not None:
            share = crop[0] / (edge * 256 // 224 if processor.startswith("levit") else edge)
        return {"fit": "crop", "fraction": float(share)} if isinstance(share, int | float) and 0 < share <= 1 else {}
    sides = _sides(size)
    if sides is None or (not processor and isinstance(size, int)):
        return {}
    share = min(1.0, crop[0] / sides[0]) if cuts and crop is not None else 1.0
    return {"fit": "stretch", "fraction": share}  # to this height and width, whatever the aspect ratio


def _sides(value: Any) -> Size | None:
    if isinstance(value, Mapping):
        sides = (value.get("height"), value.get("width"))
        side = value.get("shortest_edge")
        value = sides if None not in sides else side
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(side, int) for side in value):
        return (value[0], value[1])
    return None
