"""phosphene shows what a neural network sees: one engine, on PyTorch and on JAX.

>>> import phosphene as ph
>>> net = ph.load("specimen", backend="torch")
>>> pictures = ph.render(net, [ph.logit("coins"), ph.channel("stage3", 5)], size=96)
>>> pictures.save("coins.png")

Neither framework is imported before a model of it is handed over or named.
"""

from __future__ import annotations

from phosphene.accentuation import accentuate
from phosphene.activations import activations
from phosphene.ascent import Progress
from phosphene.atlas import Atlas
from phosphene.attribution import attribute
from phosphene.audit import parity
from phosphene.backend import Backend, InputSpec, Network
from phosphene.benchmarking import bench
from phosphene.comparison import compare
from phosphene.diagnosis import diagnose
from phosphene.dreaming import dream
from phosphene.embedding import embed, probe
from phosphene.errors import PhospheneError, PhospheneWarning
from phosphene.feature_maps import feature_maps
from phosphene.features import concept, factorize
from phosphene.inversion import invert
from phosphene.layers import Layer, Layers
from phosphene.loaders import load
from phosphene.objectives import (
    Objective,
    channel,
    direction,
    diverse,
    group,
    interpolate,
    layer,
    logit,
    match,
    neuron,
    objective,
    spatial,
)
from phosphene.optimizers import adam, cosine, nadam, sgd
from phosphene.parameterizations import fourier, image_statistics, maco, parameterization, perturbation, pixel
from phosphene.penalties import l1, l2, total_variation
from phosphene.projections import blur, clip, decay
from phosphene.rendering import render
from phosphene.replaying import replay
from phosphene.results import (
    Accentuation,
    Attribution,
    Comparison,
    Concept,
    Diagnosis,
    Embedding,
    FeatureMaps,
    Features,
    Quiz,
    Renders,
    TrustCard,
    TrustCards,
    Units,
)
from phosphene.sheet import render_all
from phosphene.transforms import colour, crop, flip, jitter, noise, pad, resize, roll, rotate, scale
from phosphene.trust import assess, quiz
from phosphene.units import units
from phosphene.wrapping import wrap

__version__ = "0.1.0"

__all__ = [
    "Accentuation",
    "Atlas",
    "Attribution",
    "Backend",
    "Comparison",
    "Concept",
    "Diagnosis",
    "Embedding",
    "FeatureMaps",
    "Features",
    "InputSpec",
    "Layer",
    "Layers",
    "Network",
    "Objective",
    "PhospheneError",
    "PhospheneWarning",
    "Progress",
    "Quiz",
    "Renders",
    "TrustCard",
    "TrustCards",
    "Units",
    "accentuate",
    "activations",
    "adam",
    "assess",
    "attribute",
    "bench",
    "blur",
    "channel",
    "clip",
    "colour",
    "compare",
    "concept",
    "cosine",
    "crop",
    "decay",
    "diagnose",
    "direction",
    "diverse",
    "dream",
    "embed",
    "factorize",
    "feature_maps",
    "flip",
    "fourier",
    "group",
    "image_statistics",
    "interpolate",
    "invert",
    "jitter",
    "l1",
    "l2",
    "layer",
    "load",
    "logit",
    "maco",
    "match",
    "nadam",
    "neuron",
    "noise",
    "objective",
    "pad",
    "parameterization",
    "parity",
    "perturbation",
    "pixel",
    "probe",
    "quiz",
    "render",
    "render_all",
    "replay",
    "resize",
    "roll",
    "rotate",
    "scale",
    "sgd",
    "spatial",
    "total_variation",
    "units",
    "wrap",
]
