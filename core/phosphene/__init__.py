"""phosphene shows what a neural network sees: one engine, on PyTorch and on JAX.

>>> import phosphene as ph
>>> net = ph.load("specimen", backend="torch")
>>> pictures = ph.render(net, [ph.logit("coins"), ph.channel("stage3", 5)], size=96)
>>> pictures.save("coins.png")

Neither framework is imported before a model of it is handed over or named.
"""

from __future__ import annotations

from phosphene.activations import activations
from phosphene.ascent import Progress
from phosphene.attribution import attribute
from phosphene.audit import parity
from phosphene.backend import Backend, InputSpec, Network
from phosphene.benchmarking import bench
from phosphene.embedding import embed, probe
from phosphene.errors import PhospheneError, PhospheneWarning
from phosphene.feature_maps import feature_maps
from phosphene.inversion import invert
from phosphene.layers import Layer, Layers
from phosphene.loaders import load
from phosphene.objectives import Objective, channel, direction, layer, logit, match, neuron, objective
from phosphene.optimizers import adam, sgd
from phosphene.parameterizations import fourier, pixel
from phosphene.penalties import l1, l2, total_variation
from phosphene.projections import blur, clip, decay
from phosphene.rendering import render
from phosphene.results import Attribution, Embedding, FeatureMaps, Renders, Units
from phosphene.transforms import flip, jitter, noise, pad, rotate, scale
from phosphene.units import units
from phosphene.wrapping import wrap

__version__ = "0.1.0"

__all__ = [
    "Attribution",
    "Backend",
    "Embedding",
    "FeatureMaps",
    "InputSpec",
    "Layer",
    "Layers",
    "Network",
    "Objective",
    "PhospheneError",
    "PhospheneWarning",
    "Progress",
    "Renders",
    "Units",
    "activations",
    "adam",
    "attribute",
    "bench",
    "blur",
    "channel",
    "clip",
    "decay",
    "direction",
    "embed",
    "feature_maps",
    "flip",
    "fourier",
    "invert",
    "jitter",
    "l1",
    "l2",
    "layer",
    "load",
    "logit",
    "match",
    "neuron",
    "noise",
    "objective",
    "pad",
    "parity",
    "pixel",
    "probe",
    "render",
    "rotate",
    "scale",
    "sgd",
    "total_variation",
    "units",
    "wrap",
]
