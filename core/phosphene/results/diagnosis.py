"""`Diagnosis`: what is wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Diagnosis", "Finding"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    kind : str
        "normalisation over the batch", "no gradient", "not a number", "dead unit", "asleep", "input range", "shallow layer",
        "other network" (of a concept), "concept not there" or "concept not used".
    where : str
        The objective, or the part of the network.
    gravity : int
        3: pictures would be wrong; 2: they would show little; 1: worth knowing.
    said, fix : str
        What was seen, and what to do.
    """

    kind: str
    where: str
    gravity: int
    said: str
    fix: str


@dataclass(frozen=True)
class Diagnosis:
    """What was found, the gravest first.

    Attributes
    ----------
    network : str
    findings : tuple of Finding
    objectives : int
        How many were looked at.
    """

    network: str
    findings: tuple[Finding, ...]
    objectives: int

    @property
    def sound(self) -> bool:
        """Whether nothing grave was found."""
        return all(finding.gravity < 2 for finding in self.findings)

    def __repr__(self) -> str:
        head = f"Diagnosis of {self.network}, {self.objectives} objective{'s' * (self.objectives != 1)}: "
        if not self.findings:
            return head + "nothing was found"
        lines = [head + f"{len(self.findings)} finding{'s' * (len(self.findings) != 1)}"]
        for finding in self.findings:
            lines += [f"  {finding.kind} ({finding.where}): {finding.said}.", f"    {finding.fix}"]
        return "\n".join(lines)
