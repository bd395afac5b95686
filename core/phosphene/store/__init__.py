"""Arrays on disk that are written shard by shard, survive an interrupted run, and are verified when read.

A store is a folder::

    manifest.json        format, kind, model, data and settings; written first
    arrays/NAME/         a zarr array (version 3) with one chunk per shard; any zarr reader opens it
    shards/000012.json   receipt of a shard: its rows, digests of its values and images, and a digest of itself; written when
                         the whole shard is on disk

A shard without a receipt in ``shards/`` does not exist, whatever is in ``arrays/``. An interrupted run therefore resumes
after the last complete shard, and produces the same bytes as an uninterrupted one. Files whose name begins with a dot are locks
of processes that write, or were left by one that was killed; see `phosphene.kit.locks`.
"""

from __future__ import annotations

from phosphene.store.manifest import FORMAT, ArraySpec, Manifest
from phosphene.store.receipt import Receipt
from phosphene.store.store import Store

__all__ = ["FORMAT", "ArraySpec", "Manifest", "Receipt", "Store"]
