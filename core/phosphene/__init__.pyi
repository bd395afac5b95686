from phosphene import objectives, optimizers, parameterizations, regularizers, transforms
from phosphene.atlas.atlas import Atlas
from phosphene.attribution import Attribution, attribute
from phosphene.backend import Backend, InputSpec, Network
from phosphene.benchmark import Benchmark, bench
from phosphene.channel_maps import FeatureMaps, feature_maps
from phosphene.comparison.call import compare
from phosphene.comparison.result import Comparison
from phosphene.concepts import Concept, concept
from phosphene.data.declaration import Images, images
from phosphene.diagnosis import Diagnosis, diagnose
from phosphene.embedding import Embedding, embed, probe
from phosphene.errors import PhospheneError, PhospheneWarning
from phosphene.extraction import activations
from phosphene.features import Features, factorize
from phosphene.inversion import invert
from phosphene.kit.progress import Progress
from phosphene.layers import Layer, Layers
from phosphene.loaders import load
from phosphene.objectives import Objective, channel, direction, logit, neuron, objective
from phosphene.photographs import Accentuation, accentuate, dream
from phosphene.port_parity import Parity, parity
from phosphene.rendering import Renders, render, replay
from phosphene.sheet import render_all
from phosphene.trust.call import assess
from phosphene.trust.quizzes import Quiz, quiz
from phosphene.trust.result import TrustCard, TrustCards
from phosphene.unit_statistics import Units, units
from phosphene.wrapping import wrap

__version__: str

__all__ = [
    "Accentuation",
    "Atlas",
    "Attribution",
    "Backend",
    "Benchmark",
    "Comparison",
    "Concept",
    "Diagnosis",
    "Embedding",
    "FeatureMaps",
    "Features",
    "Images",
    "InputSpec",
    "Layer",
    "Layers",
    "Network",
    "Objective",
    "Parity",
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
    "assess",
    "attribute",
    "bench",
    "channel",
    "compare",
    "concept",
    "diagnose",
    "direction",
    "dream",
    "embed",
    "factorize",
    "feature_maps",
    "images",
    "invert",
    "load",
    "logit",
    "neuron",
    "objective",
    "objectives",
    "optimizers",
    "parameterizations",
    "parity",
    "probe",
    "quiz",
    "regularizers",
    "render",
    "render_all",
    "replay",
    "transforms",
    "units",
    "wrap",
]
