"""Match the layers of two networks: by path, or else by position, kind, name and activations.

Ports of a model seldom have the same paths, nor the same layers: a rectifier may be a module in one and a function in the other.
Layers that paths do not match are aligned without crossings over the two forward orders (Needleman and Wunsch 1970).
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.layers import Layer, Layers
from phosphene.types import Floats

__all__ = ["Matching", "Pair", "Sketches", "Unmatched", "family", "form_of", "match", "name_likeness"]

Sketches = Callable[[tuple[str, ...], tuple[str, ...]], tuple[Mapping[str, Floats], Mapping[str, Floats]]]
"""``(paths of a, paths of b)`` to a vector of activations per path, comparable between layers with the same `form_of`."""

ANCHOR = 1e3
SAME_VALUES = 0.999
"""Concordance above which two layers of different kinds are paired."""
ALIKE_VALUES, ALIKE_NAMES = 0.9, 0.5
"""Correlation and similarity of paths; either suffices to pair two layers if the kind of one is uninformative."""

_SYNONYMS = {
    "bn": "norm",
    "ln": "norm",
    "gn": "norm",
    "batchnorm": "norm",
    "layernorm": "norm",
    "groupnorm": "norm",
    "fc": "linear",
    "dense": "linear",
    "lin": "linear",
    "shortcut": "downsample",
    "project": "downsample",
    "skip": "downsample",
    "attn": "attention",
    "stage": "layer",
    "convolution": "conv",
    "act": "activation",
}
_FAMILIES = (
    ("batchnorm", "batch normalisation"),
    ("layernorm", "layer normalisation"),
    ("groupnorm", "group normalisation"),
    ("instancenorm", "instance normalisation"),
    ("rmsnorm", "root mean square normalisation"),
    ("attention", "attention"),
    ("conv", "convolution"),
    ("linear", "linear"),
    ("dense", "linear"),
    ("einsum", "linear"),
    ("pool", "pooling"),
    ("dropout", "dropout"),
    ("embed", "embedding"),
    ("softmax", "activation"),
    ("elu", "activation"),
    ("silu", "activation"),
    ("swish", "activation"),
    ("mish", "activation"),
    ("tanh", "activation"),
    ("sigmoid", "activation"),
)


@dataclass(frozen=True)
class Pair:
    """A pair of matched layers.

    Attributes
    ----------
    a, b : str
        Paths in the two networks.
    how : str
        "given" by the user, same "path", same "name" up to dots and case, or by "alignment".
    """

    a: str
    b: str
    how: str


@dataclass(frozen=True)
class Unmatched:
    """A layer that was not matched.

    Attributes
    ----------
    network : str
        "a" or "b".
    path, kind : str
    shape : tuple of int
    reason : str
        Why it was not matched.
    """

    network: str
    path: str
    kind: str
    shape: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Score:
    """Score of a possible pair, and whether it rests on more than the order of the layers."""

    total: float
    sure: bool


@dataclass(frozen=True)
class Matching:
    """Pairs in the forward order of the first network, and the unmatched layers."""

    pairs: tuple[Pair, ...]
    unmatched: tuple[Unmatched, ...]


def match(
    a: Layers, b: Layers, *, names: tuple[str, str], given: Mapping[str, str] | None, sketches: Sketches
) -> Matching:
    """Pair the layers of two networks.

    Parameters
    ----------
    a, b : Layers
        In forward order.
    names : (str, str)
        Names of the networks, for error messages.
    given : mapping of str to str, optional
        Pairs given by the user, which take precedence.
    sketches : callable
        Returns activations for a few images; called only for layers that are not matched by path.

    Returns
    -------
    Matching

    Raises
    ------
    UnknownLayer
        If a network does not have a path in `given`.
    InvalidParameter
        If a pair in `given` has unequal shapes, a layer is given twice, or no layers match at all.
    """
    anchors = _given(a, b, names, given or {})
    _add(anchors, a, b, "path", lambda path: path)
    _add(anchors, a, b, "name", lambda path: ".".join(_split(path)))
    forms_b = {form_of(layer) for path, layer in b.items() if path not in {pair.b for pair in anchors.values()}}
    rest_a = tuple(path for path, layer in a.items() if path not in anchors and form_of(layer) in forms_b)
    forms_a = {form_of(a[path]) for path in rest_a}
    taken = {pair.b for pair in anchors.values()}
    rest_b = tuple(path for path, layer in b.items() if path not in taken and form_of(layer) in forms_a)
    if rest_a:
        scores = _scores(a, b, rest_a, rest_b, sketches)
        found = _aligned(a, b, {pair: score.total for pair, score in scores.items()}, anchors)
        while found:
            anchors.update({path_a: Pair(path_a, path_b, "alignment") for path_a, path_b in found})
            # Branches may be computed in another order: the remaining layers are aligned again, with sure scores only.
            taken = {pair.b for pair in anchors.values()}
            again = {
                pair: score.total
                for pair, score in scores.items()
                if score.sure and pair[0] not in anchors and pair[1] not in taken
            }
            found = _aligned(a, b, again, {})
    if not anchors:
        heads = [f"{name} has {', '.join(list(layers)[:6])}" for name, layers in zip(names, (a, b), strict=True)]
        raise InvalidParameter(
            "layers",
            allowed="networks that share at least one layer",
            received=said("networks without matching layers"),
            fix=f"{'; '.join(heads)}. Match layers yourself: layers={{path of {names[0]}: path of {names[1]}}}.",
        )
    pairs = tuple(anchors[path] for path in a if path in anchors)
    left = (
        *_left("a", a, b, names[1], {pair.a for pair in pairs}, {pair.b for pair in pairs}),
        *_left("b", b, a, names[0], {pair.b for pair in pairs}, {pair.a for pair in pairs}),
    )
    return Matching(pairs, left)


def form_of(layer: Layer) -> tuple[int, ...]:
    """Return the channel-last shape of a layer without axes of length 1: ``(1, 1, C)`` after pooling becomes ``(C,)``."""
    return (*(side for side in layer.shape[:-1] if side != 1), layer.channels)


def family(kind: str, container: bool = False) -> str | None:
    """Return the family of a layer by its class name; "container" for one with layers inside, None if unknown."""
    plain = kind.lower().replace("_", "")
    found = next((name for part, name in _FAMILIES if part in plain), None)
    if container and found != "attention":
        return "container"
    return found


def name_likeness(a: str, b: str) -> float:
    """Return the similarity of two paths, 0 to 1: the mean over whole paths and last parts; synonyms count as equal."""
    return (_ratio(_words(a), _words(b)) + _ratio(_words(a.split(".")[-1]), _words(b.split(".")[-1]))) / 2


def _given(a: Layers, b: Layers, names: tuple[str, str], given: Mapping[str, str]) -> dict[str, Pair]:
    pairs: dict[str, Pair] = {}
    for path_a, path_b in given.items():
        one, other = a[path_a], b[path_b]
        if form_of(one) != form_of(other):
            raise InvalidParameter(
                f"layers[{path_a!r}]",
                allowed=f"a layer of {names[1]} of shape {_shape(one)}",
                received=said(f"{path_b!r} of shape {_shape(other)}"),
                fix="Only layers of the same shape can be compared.",
            )
        pairs[path_a] = Pair(path_a, path_b, "given")
    twice = [path for path, count in Counter(given.values()).items() if count > 1]
    if twice:
        raise InvalidParameter(
            "layers",
            allowed="each layer once",
            received=said(f"{twice[0]!r} more than once"),
            fix=f"Match each layer of {names[1]} with one layer of {names[0]}.",
        )
    return pairs


def _add(pairs: dict[str, Pair], a: Layers, b: Layers, how: str, key: Callable[[str], str]) -> None:
    """Pair layers of the same shape whose key is the same, and unique in each network."""
    taken = {pair.b for pair in pairs.values()}
    free_a, free_b = [path for path in a if path not in pairs], [path for path in b if path not in taken]
    once_a, once_b = (Counter(map(key, paths)) for paths in (free_a, free_b))
    by_key = {key(path): path for path in free_b if once_b[key(path)] == 1}
    for path in free_a:
        other = by_key.get(key(path))
        if other is not None and once_a[key(path)] == 1 and form_of(a[path]) == form_of(b[other]):
            pairs[path] = Pair(path, other, how)


def _scores(
    a: Layers, b: Layers, rest_a: tuple[str, ...], rest_b: tuple[str, ...], sketches: Sketches
) -> dict[tuple[str, str], Score]:
    """Return the scores of all possible pairs."""
    values_a, values_b = sketches(rest_a, rest_b)
    kinds_a, kinds_b = (
        {path: family(layers[path].kind, _contains(layers, path)) for path in rest}
        for layers, rest in ((a, rest_a), (b, rest_b))
    )
    scores = {}
    for form in {form_of(a[path]) for path in rest_a}:
        ours = [path for path in rest_a if form_of(a[path]) == form]
        theirs = [path for path in rest_b if form_of(b[path]) == form]
        likeness = _likeness([values_a[path] for path in ours], [values_b[path] for path in theirs])
        for row, path_a in enumerate(ours):
            for column, path_b in enumerate(theirs):
                kinds = (kinds_a[path_a], kinds_b[path_b])
                score = _score(a, b, path_a, path_b, kinds, tuple(float(part[row, column]) for part in likeness))
                if score is not None:
                    scores[path_a, path_b] = score
    return scores


def _score(
    a: Layers, b: Layers, path_a: str, path_b: str, kinds: tuple[str | None, str | None], likeness: tuple[float, ...]
) -> Score | None:
    one, other = a[path_a], b[path_b]
    correlation, concordance = likeness
    if None not in kinds and kinds[0] != kinds[1] and concordance < SAME_VALUES:
        return None
    names = name_likeness(path_a, path_b)
    if None in kinds and correlation < ALIKE_VALUES and names < ALIKE_NAMES:
        return None
    if kinds[0] == kinds[1]:
        plain = kinds[0] in (None, "container")
        kind = difflib.SequenceMatcher(None, one.kind.lower(), other.kind.lower()).ratio() if plain else 1.0
    else:
        kind = 0.5 if None in kinds else 0.0
    weights = 0.5 if one.parameters == other.parameters > 0 else 0.0
    sure = kinds[0] is not None and kinds[0] == kinds[1] and (weights > 0 or correlation >= ALIKE_VALUES)
    return Score(kind + names + weights + max(correlation, 0.0) + max(concordance, 0.0) + 0.05, sure)


def _likeness(ours: Sequence[Floats], theirs: Sequence[Floats]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation, and concordance (Lin 1989), which is 1 only for equal values; each ``(ours, theirs)``."""

    def centred(rows: Sequence[Floats]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        matrix = np.nan_to_num(np.stack(rows).astype(np.float64), posinf=0.0, neginf=0.0)
        mean = matrix.mean(axis=1, keepdims=True)
        return matrix - mean, mean[:, 0]

    (one, mean_one), (other, mean_other) = centred(ours), centred(theirs)
    products = one @ other.T
    squares_one, squares_other = (one**2).sum(axis=1)[:, None], (other**2).sum(axis=1)[None]
    apart = one.shape[1] * (mean_one[:, None] - mean_other[None]) ** 2
    correlation = products / np.maximum(np.sqrt(squares_one * squares_other), 1e-300)
    return correlation, 2.0 * products / np.maximum(squares_one + squares_other + apart, 1e-300)


def _aligned(
    a: Layers, b: Layers, scores: Mapping[tuple[str, str], float], anchors: Mapping[str, Pair]
) -> list[tuple[str, str]]:
    """Return the non-crossing pairs of the largest total score, in addition to the anchors."""
    place_a, place_b = ({path: index for index, path in enumerate(layers)} for layers in (a, b))
    gains = np.full((len(a), len(b)), -np.inf)
    for (path_a, path_b), score in scores.items():
        gains[place_a[path_a], place_b[path_b]] = score
    for pair in anchors.values():
        gains[place_a[pair.a], place_b[pair.b]] = ANCHOR
    best = np.zeros((len(a) + 1, len(b) + 1))
    for row in range(len(a)):
        step = np.maximum(best[row, 1:], best[row, :-1] + gains[row])
        best[row + 1, 1:] = np.maximum.accumulate(step)
    found = []
    paths_a, paths_b = list(a), list(b)
    row, column = len(a), len(b)
    while row and column:
        if best[row, column] == best[row - 1, column]:
            row -= 1
        elif best[row, column] == best[row, column - 1]:
            column -= 1
        else:
            row, column = row - 1, column - 1
            if paths_a[row] not in anchors:
                found.append((paths_a[row], paths_b[column]))
    return found[::-1]


def _left(side: str, layers: Layers, others: Layers, other: str, paired: set[str], taken: set[str]) -> list[Unmatched]:
    """Return the layers that are not matched in `other`, with the reasons."""
    forms = Counter(form_of(layer) for layer in others.values())
    free = Counter(form_of(layer) for path, layer in others.items() if path not in taken)
    found = []
    for path, layer in layers.items():
        if path in paired:
            continue
        form = form_of(layer)
        if path in others and form_of(others[path]) != form and not forms[form]:
            reason = f"{other} has this path with shape {_shape(others[path])}, but no layer of shape {_shape(layer)}"
        elif not forms[form]:
            reason = f"{other} has no layer of shape {_shape(layer)}"
        elif not free[form]:
            reason = f"every layer of shape {_shape(layer)} in {other} is matched with a more similar layer"
        else:
            reason = f"no other layer of shape {_shape(layer)} in {other} is similar at that position"
        found.append(Unmatched(side, path, layer.kind, layer.shape, reason))
    return found


def _contains(layers: Layers, path: str) -> bool:
    return any(other.startswith(f"{path}.") for other in layers)


def _split(path: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", re.sub(r"([a-z])([A-Z])", r"\1_\2", path).lower())


def _words(path: str) -> tuple[str, ...]:
    words = _split(path)
    singular = [
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words
    ]
    return tuple(_SYNONYMS.get(word, word) for word in singular)


def _ratio(a: Sequence[str], b: Sequence[str]) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def _shape(layer: Layer) -> str:
    return " x ".join(map(str, layer.shape)) or "scalar"
