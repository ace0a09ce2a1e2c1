"""Checkpoints: the state of a run, from which it continues bit for bit.

A run has a folder named by a key of everything that decides its weights. In it are the last two
checkpoints, each behind its SHA-256, so that no kill, flipped bit or mix-up can harm a run.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from convlstm.runtime import locks
from convlstm.runtime.errors import UserError
from convlstm.runtime.files import replacing, to_text
from convlstm.runtime.signals import Stopped, StopRequest
from convlstm.train.loop import Epoch, Training

KEPT = 2
SUM_BYTES = sha256().digest_size


def key_of(identity: Mapping[str, Any]) -> str:
    """Return the name of a run: equal for an equal identity, torch and loaded code of the package.

    The loaded modules count because a checkpoint of other code must not be continued.
    """
    seen = sha256(to_text({**identity, "torch": torch.__version__}).encode())
    for name, module in sorted(sys.modules.items()):
        if name.startswith("convlstm.") and module.__file__:
            seen.update(Path(module.__file__).read_bytes())
    return seen.hexdigest()[:20]


class Checkpoints:
    """The checkpoints of the run with this `identity`, in a folder of their own under `root`."""

    def __init__(self, root: Path, identity: Mapping[str, Any], every_minutes: float) -> None:
        self.key = key_of(identity)
        self.folder = root / self.key
        self.lock = root / f"{self.key}.lock"
        self._every_seconds = 60 * every_minutes
        self._last = time.monotonic()

    def resume(self, restore: Callable[[dict[str, Any]], None]) -> list[str]:
        """Restore the newest state of this run that is whole, if there is one.

        Args:
            restore: called with a state; if it raises, the state before that one is tried.

        Returns:
            Notes on all that was found.
        """
        notes = []
        if others := [path for path in self.folder.parent.glob("*/") if path != self.folder]:
            notes.append(
                f"{self.folder.parent} holds unfinished runs with other params, data or code "
                f"({len(others)}); they are not continued"
            )
        for path in sorted(self.folder.glob("[0-9]*.pt"), reverse=True):
            try:
                restore(self._read(path))
            except MemoryError:
                raise
            except Exception as error:  # a loader may raise anything on a damaged file
                reason = " ".join(str(error).split())[:100]
                notes.append(f"{path}: {reason}; it is not continued")
            else:
                return [*notes, f"continues after batch {int(path.stem)}, from {path}"]
        return notes

    def due(self) -> bool:
        """Return whether the last checkpoint is so old that the next one should be saved."""
        return time.monotonic() - self._last >= self._every_seconds

    def save(self, iteration: int, state: Mapping[str, Any]) -> None:
        """Save the state after `iteration` steps; keep the last `KEPT` checkpoints only."""
        buffer = BytesIO()
        torch.save({"key": self.key, "state": dict(state)}, buffer)
        content = buffer.getvalue()
        with replacing(self.folder / f"{iteration:09d}.pt") as path:
            path.write_bytes(sha256(content).digest() + content)
        for old in sorted(self.folder.glob("[0-9]*.pt"))[:-KEPT]:
            old.unlink()
        self._last = time.monotonic()

    def epochs(
        self, training: Training, stop: StopRequest, on_step: Callable[[float], None]
    ) -> Iterator[Epoch]:
        """Train, and save a checkpoint when one is due or a rank was asked to stop.

        All ranks stop after the same step. The first one alone saves, and the others do not end
        before it has, because a launcher stops them all when one has ended.

        Args:
            training: the run.
            stop: checked after each iteration.
            on_step: called after each iteration with its loss.

        Yields:
            Each epoch when it is done.

        Raises:
            Stopped: a rank was asked to stop; the checkpoint is saved.
        """
        ranks = training.ranks

        def after_step(loss: float) -> None:
            on_step(loss)
            asked = ranks.most(stop.signal_number or 0)
            if ranks.first and (asked or self.due()):
                self.save(training.iteration, training.state())
            if asked:
                ranks.meet()
                raise Stopped(asked)

        yield from training.epochs(after_step)

    def end(self, training: Training) -> None:
        """Remove the checkpoints, because the run is done; its last state stays for who awaits it.

        That run has seen nothing of ours in DVC's cache when it began, so it takes it from here.
        """
        if locks.is_awaited(self.lock):
            with suppress(UserError):  # it can also go on from an earlier state
                self.save(training.iteration, training.state())
        else:
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
