"""`wrap`: make a user's model a `Network`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from phosphene.backend import InputSpec, Interface, Network, backend_for, backend_named
from phosphene.errors import InvalidParameter, MixedBackends, said
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
    frozen: Sequence[int] = (),
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
    frozen : sequence of int, default ()
        Channels that gradient ascent leaves unchanged, at mid-grey.
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
        Name for titles and messages (default: the class name).

    Returns
    -------
    Network

    Raises
    ------
    UnknownModel
        If no backend accepts the model.
    InvalidParameter
        If the normalisation or the class names do not fit the model.
    ModelFailed
        If the model raises on a grey image.
    """
    if isinstance(model, Network):
        raise InvalidParameter(
            "model", allowed="a model", received=model, fix="It is wrapped already: use it as it is."
        )
    owner = backend_for(model) if backend is None else backend_named(backend)
    if not owner.owns(model):
        raise MixedBackends(
            f"model: expected a model of {owner.name}, got {type(model).__module__}.{type(model).__qualname__}. "
            "Leave `backend` out to find it from the model."
        )
    spec = InputSpec(
        size=(size, size) if isinstance(size, int) else (int(size[0]), int(size[1])),
        channels=channels,
        range=range,
        mean=_numbers(mean),
        std=_numbers(std),
        frozen=tuple(frozen),
    )
    interface = Interface(inputs, output, dict(channel_axis or {}))
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


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(float(item) for item in np.atleast_1d(np.asarray(value, np.float64)))
