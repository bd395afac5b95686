"""An atlas as one page that opens from a file: no network, no server, no graphics card.

::

    gathering    what is shown of each layer of an atlas, as plain columns and pictures; steps may be missing
    groups       the groups of these cells: icons, fidelity, labels
    pictures     their pictures: a sheet for each block of each level, further groups, real patches
    closeness    the nearest cells in the space of the activations, and what speaks for each class in each cell
    sheets       pictures side by side in WebP sheets, one a block of the map
    payload      columns and sheets as text in the page or as files beside it, within a budget
    joining      the page's program: ES modules (`js/`) joined into one classic script
    document     the page itself, and the policy under which it runs
    view         all of these in a row
"""

from __future__ import annotations

from phosphene.viewer.view import notebook_frame, view

__all__ = ["notebook_frame", "view"]
