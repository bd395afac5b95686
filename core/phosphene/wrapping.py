"""`wrap`: make a user's model a `Network`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from phosphene.backend import InputSpec, Interface, Network, backend_for, backend_named, backend_names
from phosphene.errors import InvalidParameter, MixedBackends, said
from phosphene.kit.checks import MOST_CHANNELS, choice, integer, integers, is_network, names, numbers, pair_of, text
from phosphene.layers import OUTPUT
from phosphene.tokens import with_tokens
from phosphene.types import Size

__all__ = ["wrap"]


def wrap(
    model: Any,
    *,
    size: int | Size,
    channels: int = 3,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    range: tuple[float, float] = (0.0, 1.0),
    frozen: int | Sequence[int] = (),
    fit: str = "crop",
    fraction: float = 1.0,
    inputs: Mapping[str, Any] | Callable[[Any], Any] | None = None,
    output: str | int | Callable[[Any], Any] | None = None,
    channel_axis: Mapping[str, int] | None = None,
    tokens: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    name: str | None = None,
) -> Network:
    """Wrap a model, so that its layers can be read. The model is run once on a grey image and is not changed.

    Parameters
    ----------
    model : torch.nn.Module, flax.nnx.Module, (flax.linen.Module, variables), equinox.Module, callable, (callable, parameters)
        An Equinox module that has state is passed as ``(module, state)``. A function takes images ``(N, H, W, C)``, after its
        parameters if it has any, and names its layers with ``jax.ad_checkpoint.checkpoint_name``.
    size : int or (int, int)
        The model's native input size (height, width) in pixels.
    channels : int, default 3
        Number of channels of the images.
    mean, std : float or sequence of float, default 0 and 1
        Normalisation, one value per channel or one for all; the model sees ``(x - mean) / std``.
    range : (float, float), default (0, 1)
        Values to which 0 and 1 are mapped before the normalisation; ``(0, 255)`` for models that take bytes.
    frozen : int or sequence of int, default ()
        Channels that gradient ascent leaves unchanged, at mid-grey.
    fit : {"crop", "pad", "stretch"}, default "crop"
        How pictures and files of another size are fitted to `size`: the central part of that aspect ratio, the whole on a grey
        ground, or with the aspect ratio changed.
    fraction : float, default 1
        Share of the sides of that part that is kept about its centre, in (0, 1]: 0.875 where images are resized to 256 pixels and
        the central 224 are cut out.
    inputs : mapping or callable, optional
        Further arguments of a model that takes more than images: constants by name, each for one image or for all
        (``{"input_ids": tokens}``), or a function ``f(x)`` that returns all arguments, as a tuple or a mapping, from the
        normalised images in the model's layout.
    output : str, int or callable, optional
        The part of the model's return value that is the layer ``output``, the logits: a key or attribute, an index into a tuple,
        or a function of the return value, such as one that returns the scores of a detection head (default: found
        automatically if it is unambiguous).
    channel_axis : mapping of str to int, optional
        Channel axes of layers by path or glob pattern, in the model's layout: ``{"blocks.*": 1}`` (default: found from the
        model's operations; a warning names the layers for which that fails).
    tokens : sequence of str, optional
        Names of a transformer's special tokens in front of its patches: ``("class",)``, or ``()`` for none (default: found by
        comparing two images).
    classes : sequence of str, optional
        Names of the classes, one per logit.
    backend : str, optional
        "torch", "jax" or the name of another installed backend (default: found from the model).
    device, dtype : str, optional
        Device and precision of the computation (default: those of the model).
    name : str, optional
        Name for titles and messages (default: the name of the architecture or the checkpoint that a model of timm or transformers
        carries, otherwise the class name).

    Returns
    -------
    Network

    Raises
    ------
    UnknownModel
        If no backend accepts the model.
    InvalidParameter
        If an argument has the wrong type, or the normalisation or the class names do not fit the model.
    ModelFailed
        If the model raises on a grey image.
    """
    if is_network(model):
        raise InvalidParameter(
            "model", allowed="a model", received=model, fix="It is wrapped already: use it as it is."
        )
    spec = InputSpec(
        size=pair_of("size", size),
        channels=integer("channels", channels, minimum=1, maximum=MOST_CHANNELS),
        range=_pair(range),
        mean=numbers("mean", mean, fix="For example mean=(0.485, 0.456, 0.406), or one number for all channels."),
        std=numbers("std", std, fix="For example std=(0.229, 0.224, 0.225), or one number for all channels."),
        frozen=integers("frozen", frozen, fix="For example frozen=(3,) for the fourth channel."),
        fit=fit,
        fraction=fraction,
    )
    interface = Interface(inputs, output, _axes(channel_axis))
    classes = _names("classes", classes, 'For example classes=["cat", "dog"], in the order of the logits.')
    tokens = _names("tokens", tokens, 'For example tokens=("class",), or () for none.')
    for parameter, value, fix in (
        ("device", device, 'For example device="cpu" or device="cuda:0".'),
        ("dtype", dtype, 'For example dtype="float32" or dtype="bfloat16".'),
        ("name", name, 'For example name="my network".'),
    ):
        if value is not None:
            text(parameter, value, fix=fix)
    owner = backend_for(model) if backend is None else backend_named(choice("backend", backend, backend_names()))
    if not owner.owns(model):
        raise MixedBackends(
            f"model: expected a model of {owner.name}, got {type(model).__module__}.{type(model).__qualname__}. "
            "Leave `backend` out to find it from the model."
        )
    name = name or carried_name(model)
    network = owner.wrap(model, input=spec, interface=interface, classes=classes, device=device, dtype=dtype, name=name)
    network.layers = with_tokens(network, tokens)
    if classes is not None and OUTPUT in network.layers and network.layers[OUTPUT].channels != len(classes):
        raise InvalidParameter(
            "classes",
            allowed=f"{network.layers[OUTPUT].channels} names (one per output)",
            received=said(f"{len(classes)}"),
            fix="Give one name per output, in the order of the logits.",
        )
    return network


def carried_name(model: object) -> str | None:
    """Return the name of the architecture or checkpoint that a model carries in its configuration, if it does.

    Many architectures share one class, so that its name tells little: every EfficientNet of timm is an ``EfficientNet``.
    """
    published, configuration = getattr(model, "pretrained_cfg", None), getattr(model, "config", None)
    if isinstance(published, Mapping):
        architecture, tag = published.get("architecture"), published.get("tag")
        if isinstance(architecture, str) and architecture:
            return f"{architecture}.{tag}" if isinstance(tag, str) and tag else architecture
    path = getattr(configuration, "name_or_path", None)
    return PurePath(path).name or None if isinstance(path, str) else None


def _pair(value: Any) -> tuple[float, float]:
    fix = "For example range=(0, 1), or (0, 255) for a model that takes bytes."
    pair = numbers("range", value, fix=fix)
    if len(pair) != 2:
        raise InvalidParameter("range", allowed="(low, high) with low < high", received=value, fix=fix)
    return pair


def _axes(value: Any) -> dict[str, int]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(path, str) for path in value):
        raise InvalidParameter(
            "channel_axis",
            allowed="a mapping of paths or patterns to axes",
            received=value,
            fix='For example channel_axis={"blocks.*": 1}.',
        )
    return dict(value)


def _names(name: str, value: Any, fix: str) -> tuple[str, ...] | None:
    return None if value is None else names(name, value, fix=fix)
