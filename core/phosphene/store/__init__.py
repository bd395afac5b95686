"""The one store of long work: arrays on disk that grow shard by shard, survive being killed, and are checked when read.

A store is a folder::

    manifest.json        what it is of: format, kind, model, data, settings; written first
    arrays/NAME/         a zarr array (version 3), one chunk a shard; any zarr reader opens it
    shards/000012.json   written last, when everything of a shard is on disk: its rows, and a digest of its values

What has no file in ``shards/`` does not exist, whatever lies in ``arrays/``. So a run that was killed goes on where the last
whole shard ends, and ends with the same bytes as one that was not.
"""

from __future__ import annotations

from phosphene.store.manifest import FORMAT, ArraySpec, Manifest
from phosphene.store.store import Store

__all__ = ["FORMAT", "ArraySpec", "Manifest", "Store"]
