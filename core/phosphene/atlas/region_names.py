"""Step 7 of an atlas: label the groups of a layer by the network and by the user's texts, and name its clusters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.cells import Grid
from phosphene.atlas.clustering import ClusterSettings, cluster, named
from phosphene.atlas.evidence import Evidence, network_evidence, text_answers, text_evidence
from phosphene.atlas.labels import LabelSettings, label
from phosphene.atlas.neighbours import Neighbours
from phosphene.atlas.steps import Kept, identity_of
from phosphene.errors import OtherStore

__all__ = ["keep_texts", "name_layer", "naming_steps"]

TEXTS = "texts"


def keep_texts(atlas: Atlas, texts: Sequence[str] | None) -> Kept | None:
    """Keep the user's texts with the atlas, or return those of an earlier run.

    Parameters
    ----------
    atlas : Atlas
    texts : sequence of str, optional
        See `phosphene.atlas.evidence.text_answers`.

    Returns
    -------
    Kept or None
        With the arrays "names" and "answers"; None if there are no texts.

    Raises
    ------
    InvalidParameter
        For a number of texts that is neither that of the images nor that of the points.
    OtherStore
        When an earlier run had other texts, or named clusters without texts.
    """
    there = atlas.steps.names
    if texts is None:
        return atlas.steps.read(TEXTS) if TEXTS in there else None
    names, answers = text_answers(texts, atlas.images())
    named = [name for name in there if name.startswith("clusters.")]
    if TEXTS not in there and named:
        # Raised before the texts are kept, since every later run would reuse them.
        raise OtherStore(
            f"texts: {atlas.steps.folder} holds clusters that were named without texts. Choose another folder, or delete "
            f"{' and '.join(f'{name}.json' for name in named)} there to name them again."
        )
    digest = identity_of([names, answers.tolist()])
    return atlas.steps.keep(
        TEXTS, {"texts": digest}, atlas.identity, lambda: {"names": np.array(names), "answers": answers}
    )


def naming_steps(atlas: Atlas, layer: str, texts: Kept | None) -> tuple[str, ...]:
    """Names of the steps that `name_layer` runs for a layer, in order."""
    seen = {"logits", f"attribution.{layer}"} & set(atlas.store.names)
    return (*([f"text_labels.{layer}"] if texts else []), *([f"labels.{layer}"] if seen else []), f"clusters.{layer}")


def name_layer(
    atlas: Atlas,
    keep: Callable[..., Kept],
    layer: str,
    graph: Neighbours,
    cut: Kept,
    labels: LabelSettings,
    clusters: ClusterSettings,
    texts: Kept | None,
) -> Iterator[Kept]:
    """Label the groups of all levels of a layer, and cluster its points.

    Parameters
    ----------
    atlas : Atlas
    keep : callable
        `Steps.keep` of the atlas.
    layer : str
    graph : Neighbours
    cut : Kept
        The step of the grid.
    labels : LabelSettings
    clusters : ClusterSettings
    texts : Kept, optional
        See `keep_texts`.

    Yields
    ------
    Kept
        One per step of `naming_steps`.
    """
    grid = cut.made(Grid.of)
    *labelled, last = naming_steps(atlas, layer, texts)
    # Texts come first: clusters are named by the user's words if there are any.
    sources: list[Callable[[], Evidence]] = [functools.cache(lambda: _by_network(atlas, layer, labels.evidence))]
    origins = [cut.identity]
    if texts is not None:
        sources.insert(0, functools.cache(lambda: _by_texts(atlas, texts)))
        origins.insert(0, identity_of([cut.identity, texts.identity]))
    # Without attributions and logits the network's step is not among `labelled`, and its source is never called.
    chosen = list(zip(labelled, sources, origins, strict=False))

    made = [cut.identity]
    for step, source, origin in chosen:

        def levels(source: Callable[[], Evidence] = source) -> dict[str, NDArray[Any]]:
            return _joined(
                (level.size, label(source(), level.members, level.group_starts, labels).arrays())
                for level in grid.levels
            )

        kept = keep(step, asdict(labels), origin, levels)
        made.append(kept.identity)
        yield kept

    def regions() -> dict[str, NDArray[Any]]:
        evidence = [source() for _, source, _ in chosen]
        pieces = []
        for level, each in zip(grid.levels, cluster(graph, grid, clusters), strict=True):
            names = [label(every, *each.members, labels) for every in evidence]
            pieces.append((level.size, named(each, names).arrays()))
        return _joined(pieces)

    yield keep(last, asdict(clusters), identity_of(made), regions)


def _by_network(atlas: Atlas, layer: str, source: str) -> Evidence:
    there = set(atlas.store.names)
    attributions = atlas.attributions(layer) if f"attribution.{layer}" in there else None
    logits = atlas.logits() if "logits" in there else None
    return network_evidence(attributions, logits, atlas.images(), atlas.classes, source)


def _by_texts(atlas: Atlas, texts: Kept) -> Evidence:
    return text_evidence(texts.arrays["names"].tolist(), texts.arrays["answers"], atlas.images())


def _joined(pieces: Iterable[tuple[int, dict[str, NDArray[Any]]]]) -> dict[str, NDArray[Any]]:
    return {f"{size}.{name}": value for size, arrays in pieces for name, value in arrays.items()}
