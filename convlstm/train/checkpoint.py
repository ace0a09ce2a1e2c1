"""All that it takes to go on bit for bit, kept so that no kill, rot or mix-up can harm a run.

A run has a folder that is named by a key of all that decides its weights, and in it the last two
checkpoints, each behind its SHA-256.
"""

import shutil
import sys
import time
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from convlstm.runtime.files import replacing, to_text

KEPT = 2
SUM_BYTES = sha256().digest_size


def key_of(facts: Mapping[str, Any]) -> str:
    """A name for a run: the same facts, torch and modules of this package give the same name."""
    seen = sha256(to_text({**facts, "torch": torch.__version__}).encode())
    for name, module in sorted(sys.modules.items()):
        if name.startswith("convlstm.") and module.__file__:
            seen.update(Path(module.__file__).read_bytes())
    return seen.hexdigest()[:20]


class Checkpoints:
    """The checkpoints of the run that `facts` decide, in a folder of their own under `root`."""

    def __init__(self, root: Path, facts: Mapping[str, Any], every_minutes: float) -> None:
        self.key = key_of(facts)
        self.folder = root / self.key
        self.lock = root / f"{self.key}.lock"
        self._every_seconds = 60 * every_minutes
        self._last = time.monotonic()

    def newest(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest state that is whole and of this run; and what to say of it and of others."""
        notes = []
        if others := [path for path in self.folder.parent.glob("*/") if path != self.folder]:
            notes.append(
                f"{self.folder.parent} holds unfinished runs with other params, data or code "
                f"({len(others)}); they are not continued"
            )
        for path in sorted(self.folder.glob("[0-9]*.pt"), reverse=True):
            try:
                state = self._read(path)
            except Exception as error:  # a loader may raise anything on what is none of ours
                reason = " ".join(str(error).split())[:100]
                notes.append(f"{path}: {reason}; it is not continued")
            else:
                return state, [*notes, f"goes on after batch {int(path.stem)}, from {path}"]
        return None, notes

    def due(self) -> bool:
        """Whether the last one is so old that the next should be saved."""
        return time.monotonic() - self._last >= self._every_seconds

    def save(self, iteration: int, state: Mapping[str, Any]) -> None:
        """Keep `state`, of plain values and tensors, after `iteration` steps."""
        buffer = BytesIO()
        torch.save({"key": self.key, "state": dict(state)}, buffer)
        content = buffer.getvalue()
        with replacing(self.folder / f"{iteration:09d}.pt") as path:
            path.write_bytes(sha256(content).digest() + content)
        for old in sorted(self.folder.glob("[0-9]*.pt"))[:-KEPT]:
            old.unlink()
        self._last = time.monotonic()

    def clear(self) -> None:
        """The run is done, and needs none of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        checksum, content = content[:SUM_BYTES], content[SUM_BYTES:]
        if sha256(content).digest() != checksum:
            raise ValueError("damaged")
        loaded = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        if loaded["key"] != self.key:
            raise ValueError("of another run")
        state: dict[str, Any] = loaded["state"]
        return state
