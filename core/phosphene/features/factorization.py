"""The methods of `phosphene.factorize`: from rows of activations to directions and codes."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phosphene.draws import generator, short_seed
from phosphene.errors import InvalidParameter, MissingDependency
from phosphene.types import Floats

__all__ = ["METHODS", "Fit", "Rows", "scikit_learn"]

Rows: TypeAlias = NDArray[np.float32]

ROUNDS = 400
"""Largest number of iterations of NMF."""

PENALTY = 0.1
"""L1 penalty on the codes during dictionary learning, for rows of mean squared length 1."""

STARTS = 4
"""Restarts of dictionary learning from different rows; the dictionary with the smallest error is kept."""

REFINEMENTS, SETTLING = 14, 3
"""Refinements of a dictionary, and how many of the last ones no longer replace atoms."""

REFINED = 8192
"""Largest number of rows used for refinement."""

PIECE = 2048
"""Rows that a matching pursuit processes at a time."""

DUPLICATE = 0.95
"""Cosine similarity above which two atoms count as duplicates."""


@dataclass(frozen=True)
class Fit:
    """A factorization: ``codes (N, k) @ vectors (k, C)`` approximates the rows, after `rounds` iterations."""

    vectors: Floats
    codes: Floats
    rounds: int


def _nmf(rows: Rows, k: int, active: int, seed: int) -> Fit:
    model = scikit_learn("decomposition").NMF(k, init="nndsvda", max_iter=ROUNDS, random_state=short_seed(seed))
    with _silent():
        codes = model.fit_transform(rows)
    return Fit(model.components_.astype(np.float64), codes.astype(np.float64), int(model.n_iter_))


def _kmeans(rows: Rows, k: int, active: int, seed: int) -> Fit:
    model = scikit_learn("cluster").MiniBatchKMeans(k, random_state=short_seed(seed), n_init=5, batch_size=1024)
    with _silent():
        labels = model.fit_predict(rows)
    return Fit(model.cluster_centers_.astype(np.float64), np.eye(k)[labels], int(model.n_iter_))


def _dictionary(rows: Rows, k: int, active: int, seed: int) -> Fit:
    lengths = np.sqrt(np.square(rows).sum(axis=1))
    some = np.flatnonzero(lengths)
    if len(some) < k:
        raise InvalidParameter(
            "k",
            allowed=f"at most {len(some)}, the number of positions that are not zero",
            received=k,
            fix="Give more images, or lower k.",
        )
    random = generator(seed, "dictionary")
    part = rows[np.sort(random.permutation(len(rows))[:REFINED])]
    least, rounds = float("inf"), 0
    atoms: Floats = np.empty((0, 0))
    for number in range(STARTS):
        # Initialised with rows: the default, singular vectors, leaves zeros beyond the number of channels.
        begin = random.choice(some, k, replace=False)
        model = scikit_learn("decomposition").MiniBatchDictionaryLearning(
            k,
            alpha=PENALTY,
            batch_size=256,
            dict_init=rows[begin] / lengths[begin, None],
            fit_algorithm="cd",
            max_iter=20,
            random_state=short_seed(seed + number),
        )
        with _silent():
            found = _lengthened(model.fit(part).components_.astype(np.float64), rows)
        for refinement in range(REFINEMENTS):
            found = _refined(found, part, active, replace=refinement < REFINEMENTS - SETTLING)
        missed = float(np.square(part - _pursuit(part, found, active) @ found).sum())
        rounds += int(model.n_iter_) + REFINEMENTS
        if missed < least:
            least, atoms = missed, found
    codes = _pursuit(rows, atoms, active)
    # The sign of an atom is arbitrary; choose the one with positive codes.
    sign = np.where(codes.sum(axis=0) < 0, -1.0, 1.0)
    return Fit(atoms * sign[:, None], codes * sign, rounds)


def _refined(atoms: Floats, rows: Rows, active: int, *, replace: bool) -> Floats:
    """Refit the atoms to the rows for fixed codes (method of optimal directions, Engan et al. 1999).

    L1-penalised learning leaves some atoms duplicated and others mixed. With `replace`, duplicates and unused atoms are replaced
    by the rows with the largest error (as in K-SVD, Aharon et al. 2006).
    """
    codes = _pursuit(rows, atoms, active)
    missed = np.square(rows - codes @ atoms).sum(axis=1)
    used: NDArray[np.bool_] = np.abs(codes).max(axis=0) > 0
    fitted = np.linalg.lstsq(codes.T @ codes, codes.T @ rows, rcond=None)[0]
    atoms = np.where(used[:, None], _lengthened(np.where(used[:, None], fitted, atoms), rows), atoms)
    if replace:
        duplicate = np.abs(np.tril(atoms @ atoms.T, k=-1)).max(axis=1) > DUPLICATE
        exchanged = np.flatnonzero(duplicate | ~used)
        worst = np.argsort(-missed, kind="stable")[: len(exchanged)]
        atoms[exchanged[: len(worst)]] = _lengthened(rows[worst].astype(np.float64), rows)
    return atoms


def _lengthened(vectors: Floats, rows: Rows) -> Floats:
    """Normalise vectors to unit length; a zero vector is replaced by the longest row, so that a pursuit can use it."""
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    longest = rows[np.square(rows).sum(axis=1).argmax()].astype(np.float64)
    result: Floats = np.where(
        lengths > 1e-9, vectors / np.where(lengths > 1e-9, lengths, 1), longest / np.sqrt(np.square(longest).sum())
    )
    return result


def _pursuit(rows: Rows, atoms: Floats, active: int) -> Floats:
    """Codes ``(n, k)`` of at most `active` atoms per row by orthogonal matching pursuit (Pati et al. 1993), vectorised."""
    # scikit-learn's implementation loops over rows, and takes fifty times as long.
    gram, codes = atoms @ atoms.T, np.zeros((len(rows), len(atoms)))
    for start in range(0, len(rows), PIECE):
        along = rows[start : start + PIECE].astype(np.float64) @ atoms.T
        left, part, chosen = along, np.zeros_like(along), np.empty((len(along), 0), np.int64)
        for _ in range(min(active, *atoms.shape)):
            free = np.abs(left)
            np.put_along_axis(free, chosen, -1.0, axis=1)
            chosen = np.concatenate([chosen, free.argmax(axis=1)[:, None]], axis=1)
            # The ridge keeps the system solvable when two equal atoms are chosen.
            square = gram[chosen[:, :, None], chosen[:, None, :]] + 1e-10 * np.eye(chosen.shape[1])
            values = np.linalg.solve(square, np.take_along_axis(along, chosen, axis=1)[..., None])[..., 0]
            part = np.zeros_like(along)
            np.put_along_axis(part, chosen, values, axis=1)
            left = along - part @ gram
        codes[start : start + PIECE] = np.where(np.abs(part) > 1e-9, part, 0.0)
    return codes


@contextmanager
def _silent() -> Iterator[None]:
    """Silence convergence warnings: the number of iterations is in the result, and unused directions have strength 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scikit_learn("exceptions").ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


METHODS: dict[str, tuple[Callable[[Rows, int, int, int], Fit], str]] = {
    "nmf": (_nmf, "Lee and Seung 1999"),
    "kmeans": (_kmeans, "MacQueen 1967; Sculley 2010"),
    "dictionary": (_dictionary, "Olshausen and Field 1996; Mairal et al. 2009; Engan et al. 1999; Pati et al. 1993"),
}
"""Methods by name: ``f(rows (n, C), k, active, seed) -> Fit``, and the papers."""


def scikit_learn(module: str) -> Any:
    """Import a module of scikit-learn, such as "decomposition"; raise `MissingDependency` when it is not installed."""
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise MissingDependency("scikit-learn", "embed") from error
