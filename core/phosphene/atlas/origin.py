"""Whether an atlas is of this network and of these images: what is added to it must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phosphene.backend import Network
from phosphene.data.source import Source
from phosphene.errors import InvalidParameter, OtherStore

if TYPE_CHECKING:
    from phosphene.atlas.atlas import Atlas

__all__ = ["check_model", "check_origin"]


def check_model(atlas: Atlas, network: Network) -> None:
    """Raise `OtherStore` where the activations of an atlas are known to be those of other weights."""
    _same(atlas, "model", network.fingerprint(), "network", "Load the network that it was collected with")


def check_origin(atlas: Atlas, network: Network, source: Source) -> None:
    """Raise `OtherStore` unless an atlas was collected from these images with these weights."""
    if "model" not in atlas.store.manifest.identity:
        raise InvalidParameter(
            "atlas", allowed="one that was collected from images", received=atlas.store,
            fix="An atlas from activations does not know where in which image its points are: use phosphene.atlas.collect.",
        )  # fmt: skip
    check_model(atlas, network)
    _same(atlas, "data", source.identity(), "images", "Hand over the same images, in the same order")


def _same(atlas: Atlas, name: str, now: str, given: str, fix: str) -> None:
    known = atlas.store.manifest.identity.get(name)
    if known is not None and known != now:
        raise OtherStore(
            f"{given}: {atlas.folder} is an atlas of another {name}: it is {known}, and this is {now}. {fix}, or collect an "
            "atlas of this one into another folder."
        )
