"""What a flax or Equinox module computes, seen in a plain call, and the state that must stay as it is."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from sweep.truth import Seen

__all__ = ["plain_run", "plain_slope", "state"]

SECOND = ("Conv2d", "BatchNorm", "GroupNorm", "MaxPool2d", "AvgPool2d")
"""Modules of Equinox whose channels are first, behind the batch that a plain call lacks."""


def plain_run(model: Any, images: Any, inputs: Callable[[Any], Any] | None) -> dict[str, Seen]:
    """Run a model on normalised images (N, H, W, C), and return what its modules returned, by path and number of the call."""
    if isinstance(model, tuple) and hasattr(model[0], "apply"):
        return _linen(*model, images)
    if _is_nnx(model):
        return _nnx(model, images)
    return _equinox(model, images)


def _linen(module: Any, variables: Mapping[str, Any], images: Any) -> dict[str, Seen]:
    returned, kept = module.apply(variables, images, capture_intermediates=True, mutable=["intermediates"])
    seen: dict[str, Seen] = {}

    def gather(tree: Mapping[str, Any], path: str) -> None:
        for name, value in tree.items():
            if name == "__call__":
                for call, array in enumerate(value):
                    if path and hasattr(array, "ndim"):
                        array = np.asarray(array)
                        seen[path + (f"#{call}" if call else "")] = Seen("", array, array.ndim - 1)
            else:
                gather(value, f"{path}.{name}".strip("."))

    gather(kept["intermediates"], "")
    seen["output"] = Seen("Output", np.asarray(returned), None)
    return seen


def _nnx(model: Any, images: Any) -> dict[str, Seen]:
    from flax import nnx

    parts = {
        id(part): ".".join(map(str, path))
        for path, part in nnx.iter_graph(model)
        if isinstance(part, nnx.Module) and path
    }
    kinds = {type(part) for _, part in nnx.iter_graph(model) if isinstance(part, nnx.Module)}
    with _watched(kinds, parts, images=True) as seen:
        returned = model(images)
    seen["output"] = Seen("Output", np.asarray(returned), None)
    return seen


def _equinox(model: Any, images: Any) -> dict[str, Seen]:
    import equinox as eqx
    import jax

    module, held = model if isinstance(model, tuple) else (model, None)
    module = eqx.nn.inference_mode(module)
    parts: dict[int, str] = {}

    def gather(node: Any, path: str) -> None:
        if isinstance(node, eqx.Module):
            if path:
                parts.setdefault(id(node), path)
            for name in node.__dataclass_fields__:
                if hasattr(node, name):
                    gather(getattr(node, name), f"{path}.{name}".strip("."))
        elif isinstance(node, (list, tuple)):
            for index, item in enumerate(node):
                gather(item, f"{path}.{index}")

    gather(module, "")
    kinds = {type(node) for node in _modules(module)}
    first = np.moveaxis(images[0], -1, 0)
    with _watched(kinds, parts, images=False) as seen:
        arguments = (first,) if held is None else (first, held)
        try:
            returned = module(*arguments)
        except TypeError:
            returned = module(*arguments, key=jax.random.key(0))
    if held is not None:
        returned = returned[0]
    seen["output"] = Seen("Output", np.asarray(returned)[None], None)
    return seen


def _modules(node: Any) -> Iterator[Any]:
    import equinox as eqx

    if isinstance(node, eqx.Module):
        yield node
        for name in node.__dataclass_fields__:
            if hasattr(node, name):
                yield from _modules(getattr(node, name))
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from _modules(item)


@contextlib.contextmanager
def _watched(kinds: set[type], parts: Mapping[int, str], *, images: bool) -> Iterator[dict[str, Seen]]:
    """A context in which the calls of classes are recorded; only concrete values, not those inside a `jax.vmap`."""
    import jax

    seen: dict[str, Seen] = {}
    calls: Counter[str] = Counter()
    originals = {kind: kind.__dict__.get("__call__") for kind in kinds if hasattr(kind, "__call__")}  # noqa: B004 - whether its instances can be called

    def watching(kind: type) -> Any:
        original: Any = kind.__call__  # type: ignore[operator]

        def __call__(self: Any, *arguments: Any, **keywords: Any) -> Any:
            returned = original(self, *arguments, **keywords)
            path = parts.get(id(self))
            value = returned[0] if isinstance(returned, tuple) else returned
            if path is not None:
                number, calls[path] = calls[path], calls[path] + 1
                if hasattr(value, "ndim") and not isinstance(value, jax.core.Tracer):
                    array = np.asarray(value) if images else np.asarray(value)[None]
                    seen.setdefault(
                        path + (f"#{number}" if number else ""), Seen(kind.__name__, array, _axis(kind, array, images))
                    )
            return returned

        return __call__

    changed = []
    try:
        for kind in originals:
            with contextlib.suppress(TypeError, AttributeError):
                method = watching(kind)
                type.__setattr__(kind, "__call__", method)
                changed.append(kind)
        yield seen
    finally:
        for kind in changed:
            if originals[kind] is None:
                type.__delattr__(kind, "__call__")
            else:
                type.__setattr__(kind, "__call__", originals[kind])


def _axis(kind: type, array: Any, images: bool) -> int | None:
    if images:
        return (
            int(array.ndim) - 1 if kind.__name__ in ("Conv", "Linear", "BatchNorm", "LayerNorm", "GroupNorm") else None
        )
    return 1 if kind.__name__ in SECOND else int(array.ndim) - 1 if kind.__name__ in ("Linear", "LayerNorm") else None


def plain_slope(model: Any, images: Any, inputs: Callable[[Any], Any] | None) -> float | None:
    """None: the models of flax and Equinox here take nothing out of the graph."""
    return None


def _is_nnx(model: Any) -> bool:
    import sys

    module = sys.modules.get("flax.nnx")
    return module is not None and isinstance(model, module.Module)


def state(model: Any) -> list[Any]:
    """Everything about a model that a library could disturb."""
    import jax

    if _is_nnx(model):
        from flax import nnx

        found: list[Any] = [
            np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(model, (nnx.Param, nnx.BatchStat)))
        ]
        for path, part in nnx.iter_graph(model):
            if isinstance(part, nnx.Module):
                flags = [getattr(part, name, None) for name in ("use_running_average", "deterministic")]
                found.append((path, type(part), flags, sorted(vars(part))))
        streams = [part for _, part in nnx.iter_graph(model) if isinstance(part, nnx.RngStream)]
        return [*found, [int(stream.count[...]) for stream in streams]]
    leaves = [leaf for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")]
    return [np.asarray(leaf).tobytes() for leaf in leaves if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
