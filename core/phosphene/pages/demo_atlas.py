"""The section of the page of `phosphene demo` with a map of what a layer sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phosphene.pages.charts import embedded
from phosphene.pages.html import Html, element

if TYPE_CHECKING:
    from phosphene.demo import AtlasReport

__all__ = ["atlas_section"]


def atlas_section(report: AtlasReport) -> list[Html]:
    """The map, what it is made of and how far it can be trusted."""
    names = ", ".join(dict.fromkeys(name for name, _, _ in report.regions))
    described = f"map of {report.layer}: {report.cells} icons on the cells of a {report.size} by {report.size} grid"
    return [
        element("h2", "A map of everything one layer sees"),
        element(
            "p",
            f"A channel is one axis of what {report.layer} can say; photographs light up many at once. So {report.points:,} crops "
            "were shown to the network, and what the layer answered at one place of each was laid out on a plane: alike answers "
            f"near each other. Each of the {report.cells} small pictures was made from noise to excite what the answers in its "
            "cell have in common (Carter et al. 2019).",
        ),
        element("div", embedded(report.picture, described), class_="atlas"),
        element(
            "p",
            f"Its regions are of {names}. " if names else "",
            element("a", "Walk through the map", href=report.page),
            f": zoom, search, and see the real crops behind each cell. It lies in {report.folder}, for ph.Atlas.open.",
        ),
        element(
            "p",
            f"How far to trust it: {report.trustworthiness:.1%} of what lies close together on the map is close in truth too "
            "(trustworthiness; half would be chance). Shown to the network again, an icon answers as its cell does with a cosine "
            f"of {report.fidelity:.3f}, after {report.evaluations:g} gradient evaluations. {report.labelled:.0%} of the cells have "
            "a label that is sure.",
            class_="muted",
        ),
    ]  # fmt: skip
