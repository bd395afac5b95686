"""The tables of the house: who may import whom and what, and what the public names are."""

from __future__ import annotations

# Rooms, from the ground up. A room is a module or a package of core; the rows below name them together.
GROUND = {"errors", "types"}
CONTRACT = GROUND | {"interface", "layers", "backend"}
MATHS = GROUND | {"arrays", "draws", "layouts", "warps", "rules"}
DECLARATIONS = {"objectives", "penalties", "projections", "transforms", "parameterizations", "optimizers"}
ENGINE = CONTRACT | MATHS | DECLARATIONS | {"images", "presets", "ascent"}
CALLS = {"activations", "rendering", "inversion"}
MANY = {"activations", "data", "progress", "rendering", "results"}
PHOTOGRAPHS = {"accentuation", "dreaming"}
LAYERS = {"attribution", "comparison", "embedding", "feature_maps", "features", "sheet", "units"}
LOOKS = LAYERS | PHOTOGRAPHS | {"atlas", "diagnosis"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "types": set(),
    "layers": GROUND,
    "interface": GROUND,
    "backend": GROUND | {"interface", "layers"},
    "arrays": GROUND,
    "draws": GROUND | {"arrays"},
    "layouts": GROUND,
    "warps": GROUND | {"arrays"},
    "rules": GROUND | {"arrays"},
    "images": CONTRACT,
    "objectives": CONTRACT | MATHS,
    "penalties": CONTRACT | MATHS,
    "projections": CONTRACT | MATHS,
    "transforms": CONTRACT | MATHS,
    "parameterizations": CONTRACT | MATHS | {"projections"},
    "optimizers": CONTRACT | MATHS,
    "presets": CONTRACT | MATHS | DECLARATIONS,
    "ascent": CONTRACT | MATHS | DECLARATIONS,
    "results": ENGINE,
    "threads": GROUND,
    "writing": GROUND,
    "maps": GROUND,
    "store": GROUND | {"writing"},
    "files": ENGINE | {"results", "writing"},
    "progress": ENGINE,
    "receptive_field": ENGINE,
    "cropping": ENGINE | {"receptive_field"},
    "targets": ENGINE | {"cropping"},
    "recipes": ENGINE,
    "declaring": ENGINE | {"recipes"},
    "replaying": ENGINE | {"declaring", "files", "loaders", "rendering", "results"},
    "configuring": GROUND | {"declaring", "writing"},
    "starting": ENGINE | {"results"},
    "rendering": ENGINE | {"declaring", "results", "progress", "recipes", "starting", "targets"},
    "activations": ENGINE | {"data"},
    "collecting": ENGINE | {"activations", "data", "progress", "rendering", "store", "targets", "writing"},
    "feature_maps": ENGINE | {"activations", "results"},
    "units": ENGINE | MANY | {"collecting", "feature_maps", "receptive_field"},
    "dreaming": ENGINE | MANY | {"maps", "receptive_field"},
    "comparison": ENGINE | MANY | {"collecting", "feature_maps", "maps"},
    "features": ENGINE | {"activations", "attribution", "data", "rendering", "results"},
    "diagnosis": ENGINE | MANY | {"attribution", "receptive_field"},
    "accentuation": ENGINE | MANY | {"attribution", "dreaming"},
    "sheet": ENGINE | MANY | {"files", "trust", "units", "writing"},
    "embedding": ENGINE | MANY | {"feature_maps", "maps", "threads"},
    "attribution": ENGINE | {"activations", "maps", "rendering", "results"},
    "atlas": ENGINE | MANY | {"collecting", "receptive_field", "store", "threads", "trust", "writing"},
    "inversion": ENGINE | {"results", "progress", "activations", "rendering"},
    "trust": ENGINE | {"results", "progress", "data", "declaring", "loaders"} | CALLS | {"attribution"},
    "audit": ENGINE | {"progress"} | CALLS,
    "benchmarking": ENGINE | {"progress", "rendering", "loaders", "wrapping", "writing"},
    "data": GROUND | {"arrays", "draws"},
    "specimen": CONTRACT | MATHS | {"data"},
    "tokens": CONTRACT,
    "wrapping": CONTRACT | {"tokens"},
    "loaders": CONTRACT | {"data", "specimen", "wrapping"},
    "plots": GROUND | {"maps", "results"},
    "pages": GROUND | {"results", "files", "phosphene"},
    "viewer": GROUND | {"atlas", "writing"},
    "demo": ENGINE | CALLS | MANY | {"atlas", "attribution", "files", "loaders", "specimen", "trust", "units"},
    "phosphene": ENGINE
    | CALLS
    | LOOKS
    | {"trust", "results", "loaders", "replaying", "wrapping", "audit", "benchmarking"},
    "cli": GROUND | {"atlas", "configuring", "data", "demo", "files", "phosphene", "presets", "replaying"},
    "__main__": {"cli"},
}

# Only inside a function, when it is called, or for type checkers: such an import costs nothing before and makes no circle.
MAY_FETCH: dict[str, set[str]] = {
    "audit": {"files"},
    "features": {"store"},
    "atlas": {"pages", "viewer"},
    "sheet": {"pages"},
    "results": {"plots", "files", "pages", "trust", "writing"},
    "activations": {"collecting", "store"},
    "files": {"pages"},
    "demo": {"pages"},
    "pages": {"atlas", "demo"},
}

# A backend sees the contract, the maths it may override, and the architecture that it builds; never the engine above.
BACKEND_MAY_IMPORT = CONTRACT | MATHS | {"specimen"}

# Other people's packages in core: NumPy anywhere; the rest where it is named, and never when phosphene is imported.
MODULE_LEVEL = {
    "numpy": None,
    "typer": {
        f"cli/{name}.py"
        for name in (
            "__init__ atlases benching comparing diagnosing looks options photographs renders replaying sheets trusting".split()
        )
    },
}
IN_FUNCTIONS = {
    **dict.fromkeys(("PIL", "rich", "safetensors")),
    "matplotlib": {"plots/figures.py", "plots/embedding.py", "files/reports.py", "audit/figures.py"},
    "umap": {"embedding.py", "atlas/layout.py"},
    "pynndescent": {"atlas/neighbours.py"},
    "threadpoolctl": {"threads.py"},
    **{key: {f"atlas/{n}.py" for n in "labelling layout measures neighbours".split()} for key in ("scipy", "sklearn")},
    "zarr": {"store/store.py"},
    "torch": {
        "specimen/train.py",
        "benchmarking/places.py",
        *(f"loaders/{name}.py" for name in ("request", "fetching", "weights", "fitting")),
    },
    "jax": {"loaders/jax_weights.py", "benchmarking/places.py"},
    "flax": {"loaders/jax_weights.py"},
    "torchvision": {"loaders/torchvision.py"},
    "timm": {"loaders/timm.py"},
    "transformers": {"loaders/transformers.py", "loaders/preprocessing.py"},
    "huggingface_hub": {"loaders/fetching.py"},
    "phosphene_torch": {"specimen/train.py"},
}
# What nobody may take away or add to without meaning to: the public names are counted, and so are the contract's members.
PUBLIC = set(
    "Atlas Backend InputSpec Layer Layers Network Objective PhospheneError PhospheneWarning Progress "
    "Renders accentuate activations assess attribute bench compare concept diagnose dream embed factorize feature_maps invert load "
    "parity probe quiz render render_all replay units wrap "
    "Accentuation Attribution Comparison Concept Diagnosis Embedding FeatureMaps Features Quiz TrustCard TrustCards Units "
    "channel direction diverse group interpolate layer logit match neuron objective spatial "
    "fourier maco parameterization perturbation pixel image_statistics "
    "colour crop flip jitter noise pad resize roll rotate scale "
    "l1 l2 total_variation blur clip decay adam cosine nadam sgd".split()
)
MEMBERS = {
    "Backend": set(
        "name xp compiled owns wrap build from_numpy to_numpy grad jvp run loop warp with_rule nonlinearities "
        "optimizer".split()
    ),
    "Network": set(
        "name backend input classes device dtype layers weights weight_shapes forward shapes scope fingerprint with_weights".split()
    ),
}
HEAVY = (
    *("torch", "torchvision", "timm", "transformers", "huggingface_hub", "jax", "jaxlib", "flax", "equinox", "optax"),
    *("matplotlib", "sklearn", "skimage", "scipy", "zarr", "umap"),
)
