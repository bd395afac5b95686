"""`load`: a network by name."""

from __future__ import annotations

from phosphene.backend import Network, backend_named
from phosphene.errors import InvalidParameter, nearest

__all__ = ["load"]

SPECIMENS = ("specimen", "specimen-witness", "specimen-shortcut")


def load(name: str, *, backend: str = "torch", device: str | None = None, dtype: str | None = None) -> Network:
    """A network by name.

    Parameters
    ----------
    name : str
        "specimen", "specimen-witness" or "specimen-shortcut": the networks that come with the package.
    backend : str, default "torch"
        "torch" or "jax".
    device, dtype : str, optional
        Where and in which precision to compute.

    Returns
    -------
    Network

    Raises
    ------
    InvalidParameter
        For another name.
    MissingBackend
        When the framework is not installed.
    CorruptWeights
        When the weights cannot be read.
    """
    if name not in SPECIMENS:
        near = nearest(name, SPECIMENS)
        raise InvalidParameter(
            "name", allowed=", ".join(repr(known) for known in SPECIMENS), received=name,
            fix=f"Did you mean {near}?" if near else "Wrap a model of your own with ph.wrap.",
        )  # fmt: skip
    owner = backend_named(backend)
    from phosphene import specimen
    from phosphene.wrapping import wrap

    architecture, weights = specimen.load(name)
    return wrap(
        owner.build(architecture, weights),
        size=architecture.size,
        mean=architecture.mean,
        std=architecture.std,
        classes=architecture.classes,
        backend=backend,
        device=device,
        dtype=dtype,
        name=name,
    )
