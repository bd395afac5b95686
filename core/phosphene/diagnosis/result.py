"""`Diagnosis`: problems of a network or an objective, and their fixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phosphene.kit.result import Result
from phosphene.words import plain_message

__all__ = ["Diagnosis", "Finding"]


@dataclass(frozen=True)
class Finding:
    """One problem.

    Attributes
    ----------
    kind : str
        "normalisation over the batch", "random numbers", "training mode", "no gradient", "not a number", "dead unit", "asleep",
        "input range", "shallow layer", "other network" (of a concept), "concept not there" or "concept not used".
    where : str
        The objective, or the part of the network.
    gravity : int
        Severity. 3: pictures would be wrong; 2: they would show little; 1: worth knowing.
    said, fix : str
        What was observed, and what to do.
    """

    kind: str
    where: str
    gravity: int
    said: str
    fix: str


@dataclass(frozen=True)
class Diagnosis(Result):
    """The problems that were found, most severe first.

    Attributes
    ----------
    network : str
    findings : tuple of Finding
    objectives : int
        Number of objectives that were examined.
    notes : tuple of str
        What could not be found out, and why.
    """

    kind: ClassVar[str] = "diagnosis"
    added: ClassVar[tuple[str, ...]] = ("notes",)

    network: str
    findings: tuple[Finding, ...]
    objectives: int
    notes: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether no problem of severity 2 or 3 was found."""
        return all(finding.gravity < 2 for finding in self.findings)

    def __repr__(self) -> str:
        head = f"Diagnosis of {self.network}, {self.objectives} objective{'s' * (self.objectives != 1)}: "
        count = len(self.findings)
        lines = [head + (f"{count} finding{'s' * (count != 1)}" if count else "nothing was found")]
        for finding in self.findings:
            lines += [f"  {finding.kind} ({finding.where}): {finding.said}.", f"    {finding.fix}"]
        return plain_message("\n".join([*lines, *(f"  {note}" for note in self.notes)]))
