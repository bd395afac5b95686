"""phosphene shows what a neural network sees: one engine, on PyTorch and on JAX.

>>> import phosphene as ph
>>> net = ph.load("specimen", backend="torch")
>>> pictures = ph.render(net, [ph.logit("coins"), ph.channel("stage3", 5)], size=96)
>>> pictures.save("coins.png")

The parts of a recipe have namespaces of their own: `phosphene.objectives`, `phosphene.transforms`,
`phosphene.parameterizations`, `phosphene.regularizers` and `phosphene.optimizers`.

Public names are imported when they are first used (PEP 562). Neither framework is imported before a model of it is handed
over or named.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_NAMESPACES = "objectives optimizers parameterizations regularizers transforms".split()

_EXPORTS = {
    "atlas.atlas": "Atlas",
    "attribution": "Attribution attribute",
    "backend": "Backend InputSpec Network",
    "benchmark": "Benchmark bench",
    "channel_maps": "FeatureMaps feature_maps",
    "comparison.call": "compare",
    "comparison.result": "Comparison",
    "concepts": "Concept concept",
    "data.declaration": "Images images",
    "diagnosis": "Diagnosis diagnose",
    "embedding": "Embedding embed probe",
    "errors": "PhospheneError PhospheneWarning",
    "extraction": "activations",
    "features": "Features factorize",
    "inversion": "invert",
    "kit.progress": "Progress",
    "layers": "Layer Layers",
    "loaders": "load",
    "objectives": "Objective channel direction logit neuron objective",
    "photographs": "Accentuation accentuate dream",
    "port_parity": "Parity parity",
    "rendering": "Renders render replay",
    "sheet": "render_all",
    "trust.call": "assess",
    "trust.quizzes": "Quiz quiz",
    "trust.result": "TrustCard TrustCards",
    "unit_statistics": "Units units",
    "wrapping": "wrap",
}
"""Public names by the module that holds them; ``__init__.pyi`` tells editors and type checkers the same."""

_DEPRECATED = {
    "objectives": "diverse group interpolate layer match spatial",
    "optimizers": "adam cosine nadam sgd",
    "parameterizations": "fourier image_statistics maco parameterization perturbation pixel",
    "regularizers": "blur clip decay l1 l2 total_variation",
    "transforms": "colour crop flip jitter noise pad resize roll rotate scale",
}
"""Names that moved from here into a namespace; they still work in this version, with a warning."""

_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names.split()}
_NAMESPACE_OF = {name: namespace for namespace, names in _DEPRECATED.items() for name in names.split()}

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


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return importlib.import_module(f"phosphene.{name}")
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(f"phosphene.{_MODULE_OF[name]}"), name)
        globals()[name] = value  # the next look-up costs nothing
        return value
    if name in _NAMESPACE_OF:
        import warnings

        namespace = _NAMESPACE_OF[name]
        warnings.warn(
            f"phosphene.{name} is deprecated and will be removed in version 0.2: use phosphene.{namespace}.{name}.",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(f"phosphene.{namespace}"), name)
    raise AttributeError(f"module 'phosphene' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
