"""The viewer: an atlas as one interactive page that opens from a file, without a server, a network or a GPU.

::

    call             `view`: all of the steps below, in order
    columns          the data of each layer, as plain columns and pictures; all steps but the grid are optional
    groups           the groups of the cells: icons, fidelity, labels
    cell_pictures    pictures of cells, groups and patches, or colours for cells without pictures
    nearness         the nearest cells in the space of the activations, and the evidence for each class in each cell
    sprites          sprite sheets in WebP, one per block of the map
    payload          columns and sheets as text inside the page or in files beside it, within a size budget
    document         the page, its content security policy, and its program: the ES modules in `js/` as one script
"""

from __future__ import annotations

from phosphene.atlas.viewer.call import notebook_frame, view

__all__ = ["notebook_frame", "view"]
