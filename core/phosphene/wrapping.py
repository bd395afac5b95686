"""`wrap`: a user's model behind the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from phosphene.backend import InputSpec, Interface, Network, backend_for, backend_named
from phosphene.errors import InvalidParameter, MixedBackends
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
    """Make a model readable. It is run once on a grey image to find its layers, and otherwise left exactly as it is.

    Parameters
    ----------
    model : torch.nn.Module, flax.nnx.Module, (flax.linen.Module, variables), equinox.Module, callable, (callable, parameters)
        An Equinox module that has state comes as ``(module, state)``. A function takes images ``(N, H, W, C)``, with its
        parameters first when they are given, and names its layers with ``jax.ad_checkpoint.checkpoint_name``.
    size : int or (int, int)
        Height and width in pixels at which the model is at home.
    channels : int, default 3
        Channels of its images.
    mean, std : float or sequence of float
        Its normalisation; the model sees ``(x - mean) / std``.
    range : (float, float), default (0, 1)
        What 0 and 1 become before the normalisation; ``(0, 255)`` for models fed with bytes.
    frozen : sequence of int, default ()
        Channels that no ascent may change: they stay mid-grey.
    inputs : mapping or callable, optional
        Further arguments of a model that takes more than images: constants by name, each for one image or for all
        (``{"input_ids": tokens}``), or a function ``f(x)`` that makes all its arguments, a tuple or a mapping, from the
        normalised images in the model's own layout.
    output : str, int or callable, optional
        Which part of what the model returns is the layer ``output``, the logits: a key or attribute, a place in a tuple, or a
        function of what it returned (a detection head's scores, say). Found, where it is plain.
    channel_axis : mapping of str to int, optional
        Where a layer's channels are, by path or glob, in the model's own layout: ``{"blocks.*": 1}``. Found, where the
        model's operations tell; a warning names the layers where they do not.
    tokens : sequence of str, optional
        Names of a transformer's tokens in front of its patches: ``("class",)``, or ``()`` for none. Found, where two images
        tell them apart.
    classes : sequence of str, optional
        Names of its outputs.
    backend : str, optional
        "torch" or "jax"; found from the model when absent.
    device, dtype : str, optional
        Where and in which precision to compute; the model's own when absent.
    name : str, optional
        For titles and messages; the class name when absent.

    Returns
    -------
    Network

    Raises
    ------
    UnknownModel
        When no backend owns the model.
    InvalidParameter
        For a normalisation or class names that do not fit.
    ModelFailed
        When the model raises on a grey image.
    """
    if isinstance(model, Network):
        raise InvalidParameter("model", allowed="a model", received=model.name, fix="It is wrapped already.")
    owner = backend_for(model) if backend is None else backend_named(backend)
    if not owner.owns(model):
        raise MixedBackends(
            f"model: expected a model of {owner.name}, got {type(model).__module__}.{type(model).__qualname__}. "
            "Leave `backend` out, and it is found from the model."
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
            "classes", allowed=f"{network.layers[OUTPUT].channels} names, one an output", received=list(classes),
            fix=f"{len(classes)} were given.",
        )  # fmt: skip
    return network


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(float(item) for item in np.atleast_1d(np.asarray(value, np.float64)))
