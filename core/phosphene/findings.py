"""What wrapping a model found by running it, and the report of a network.

Memory layout, dependence on the batch and randomness are measured when a model is wrapped; they are not read from names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from phosphene.words import plain_message

__all__ = ["RECTIFIERS", "Findings", "Report"]

RECTIFIERS = frozenset({"relu", "relu6", "clipped relu"})
"""Names of the nonlinearities that backward rules reach."""

SHOWN = 12
"""Number of layers that a report lists of each kind."""


@dataclass(frozen=True)
class Findings:
    """What was found about a model when it was wrapped.

    Attributes
    ----------
    training : bool, default False
        Whether any module was in training mode; it is read in evaluation mode.
    memory : str, default ""
        Memory layout in which the model takes images: ``"channels last"``, or ``"contiguous"`` if it failed on the former; empty
        for a framework without such a choice.
    mixes_images : bool, default False
        Whether the activations of an image depend on the other images of its batch, as in a batch normalisation in training
        mode.
    random : bool, default False
        Whether the model draws random numbers in evaluation mode. Its draws are then those of the argument `draw` of
        `phosphene.backend.Network.forward`.
    guessed : tuple of str, default ()
        Paths of layers whose channel axis is a guess.
    unread : mapping of str to str, default {}
        Paths of modules that are no layers, and the reason for each.
    aliases : mapping of str to str, default {}
        Other paths of modules that a model holds under several names, and the path of their layer.
    notes : tuple of str, default ()
        Further findings, as sentences.
    """

    training: bool = False
    memory: str = ""
    mixes_images: bool = False
    random: bool = False
    guessed: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What was found about a network. Prints as a list of lines.

    Attributes
    ----------
    name, backend, device, dtype : str
        Those of the network.
    size : (int, int)
        Its native input size (height, width) in pixels.
    layers : int
        Number of layers that can be read.
    findings : Findings
    nonlinearities : mapping of str to int, or None
        Number of nonlinearities between image and output by name, ``{"relu": 49, "gelu": 4}``; backward rules reach `RECTIFIERS`.
        None if the backend cannot count them.
    """

    name: str
    backend: str
    device: str
    dtype: str
    size: tuple[int, int]
    layers: int
    findings: Findings
    nonlinearities: Mapping[str, int] | None = None

    def __str__(self) -> str:
        return plain_message("\n".join(f"{label + ':':<16}{text}" for label, text in self.rows()))

    __repr__ = __str__

    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of the report as pairs of a label and a text."""
        found = self.findings
        mode = "evaluation" + (" (the model is in training mode, which is not changed)" if found.training else "")
        rows = [
            ("network", f"{self.name}, {self.size[0]} x {self.size[1]} pixels, {self.layers} layers"),
            ("backend", f"{self.backend}, {self.device}, {self.dtype}"),
            ("mode", mode),
        ]
        if found.memory:
            rows.append(("memory layout", found.memory))
        mixed = "depends on the other images of its batch" if found.mixes_images else "independent of its batch"
        rows.append(("an image", mixed))
        rows.append(("random numbers", "drawn in evaluation mode" if found.random else "none in evaluation mode"))
        if self.nonlinearities is not None:
            rows.append(("backward rules", _reach(self.nonlinearities)))
        rows.append(("channel axes", f"guessed for {_listed(found.guessed)}" if found.guessed else "all found"))
        rows += [("same module", f"{other} is {path}") for other, path in list(found.aliases.items())[:SHOWN]]
        by_reason: dict[str, list[str]] = {}
        for path, reason in found.unread.items():
            by_reason.setdefault(reason, []).append(path)
        rows += [("not read", f"{_listed(paths)}: {reason}") for reason, paths in by_reason.items()]
        return rows + [("note", note) for note in found.notes]


def _reach(counts: Mapping[str, int]) -> str:
    total, reached = sum(counts.values()), sum(count for name, count in counts.items() if name in RECTIFIERS)
    others = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if name not in RECTIFIERS)
    return f"reach {reached} of {total} nonlinearities" + (f" (not {others})" if others else "")


def _listed(paths: tuple[str, ...] | list[str]) -> str:
    rest = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(paths[:SHOWN]) + rest
