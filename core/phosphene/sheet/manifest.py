"""What a folder of pictures is of, and which of its units are computed side by side."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from phosphene.errors import CorruptFile, OtherStore
from phosphene.writing import write_whole

__all__ = ["Batch", "Manifest"]

FORMAT = 1


@dataclass(frozen=True)
class Batch:
    """Units that are computed side by side."""

    channels: tuple[int, ...]

    def name(self, identity: dict[str, Any]) -> str:
        """Of its file: by content, so that a batch of other units or another recipe is never taken for it."""
        text = json.dumps([identity, self.channels], sort_keys=True)
        return f"{self.channels[0]:05d}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}.npz"


@dataclass(frozen=True)
class Manifest:
    """What the folder is of, and which units share a batch."""

    folder: Path
    identity: dict[str, Any]
    batches: tuple[Batch, ...]

    @staticmethod
    def at(folder: Path, identity: dict[str, Any]) -> Manifest:
        """That which is there, if it is of the same work; a new one where there is none."""
        path = folder / "manifest.json"
        if not path.exists():
            channels, size = identity["units"], identity["batch"]
            batches = [Batch(tuple(channels[start : start + size])) for start in range(0, len(channels), size)]
            return Manifest(folder, identity, tuple(batches))
        try:
            text = json.loads(path.read_text())
            theirs, batches = text["identity"], [Batch(tuple(map(int, row))) for row in text["batches"]]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFile(str(path), f"not the manifest of such a folder, or damaged ({error})") from error
        for key, value in json.loads(json.dumps(identity)).items():
            if theirs.get(key) != value:
                raise OtherStore(
                    f"out: {folder} holds pictures of other work: its {key} is {theirs.get(key)!r:.80}, and now it is "
                    f"{value!r:.80}. Choose another folder, or delete that one."
                )
        return Manifest(folder, identity, tuple(batches))

    def next_batch(self, done: int) -> Batch | None:
        """The one after the first `done`."""
        return self.batches[done] if done < len(self.batches) else None

    def halved(self, index: int) -> Manifest:
        """The same with that batch in two halves, and all after it no larger."""
        size = -(-len(self.batches[index].channels) // 2)
        rest = [
            Batch(batch.channels[start : start + size])
            for batch in self.batches[index:]
            for start in range(0, len(batch.channels), size)
        ]
        return replace(self, batches=(*self.batches[:index], *rest))

    def written(self) -> Manifest:
        """Itself, now in its folder."""
        text = {"format": FORMAT, "identity": self.identity, "batches": [batch.channels for batch in self.batches]}
        write_whole(self.folder / "manifest.json", json.dumps(text, indent=1).encode())
        return self
