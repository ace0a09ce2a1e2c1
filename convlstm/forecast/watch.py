"""The watch over a folder: each newest frame gets its forecast, a file that is whole or absent.

OUT/TIME.nc is named by the time of the last known frame (UTC, as 20260101T002000Z), or like its
file where no time is known. What is there is not made again, so a watch that was stopped, killed
or run twice goes on where it was. Nothing that lies in OUT is removed.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from convlstm.forecast import arrivals
from convlstm.forecast.arrivals import Look
from convlstm.ingest import decoding, readers
from convlstm.ingest.sources import Source
from convlstm.ingest.time_format import EPOCH, time_format
from convlstm.runtime import console, locks, system
from convlstm.runtime.errors import FAULTS_SHOWN, BadInput, Faults, UserError

if TYPE_CHECKING:  # which load torch
    from convlstm.forecast.known import Known
    from convlstm.forecast.making import Maker

LOCK = ".watch.lock"
LOOK_SECONDS = 1.0
"""Between two looks at the folder: a file that stays as it is for so long has ended."""
FULL_SECONDS = 10.0  # before another try, where the system refused something


@dataclass
class Watch:
    """A watch over `folder`, of what it has seen and said last; its memory does not grow."""

    maker: "Maker"
    folder: Path
    out: Path
    seen: Look = field(default_factory=Look)
    done: Source | None = None
    said: str = ""

    def cycle(self) -> float:
        """Look once, and forecast if that is due; returns the seconds until the next look.

        What stands in the way is said in a line, once until something else does.
        """
        try:
            self._say(self.step())
        except (UserError, OSError, MemoryError) as error:
            told = error if isinstance(error, UserError) else system.told(error)
            if told is None:
                raise
            self._say(str(told))
            return LOOK_SECONDS if isinstance(told, BadInput) else FULL_SECONDS
        return LOOK_SECONDS

    def step(self) -> str:
        """Look once, and forecast if that is due; returns a line on why nothing is.

        Raises:
            UserError: the forecast could not be made. Where the frames are at fault, the same ones
                are not tried again.
        """
        before, self.seen = self.seen, self.look()
        self._name_others(before)
        if self.seen is not before:  # a frame may have been replaced
            self.done = None
        source = arrivals.due(self.folder, self.seen, before, self.maker.context_frames)
        if isinstance(source, str):
            return source
        if source != self.done:
            with self._trying(source):
                self._forecast(source)
            self.said = ""
        return ""

    def look(self) -> Look:
        """Return the files that are there now."""
        return arrivals.look(self.folder, self.maker.params, self.seen, self.maker.context_frames)

    @contextmanager
    def _trying(self, source: Source) -> Iterator[None]:
        """Note these frames as done, if they are or cannot be; a full disk may have room again."""
        try:
            yield
        except BadInput:
            self.done = source
            raise
        self.done = source

    def _name_others(self, before: Look) -> None:
        """Say which files are passed over now, and were not before."""
        others = self.seen.others
        new = [others[path] for path in sorted(others.keys() - before.others.keys())]
        more = [f"... and {len(new) - FAULTS_SHOWN} more"] if len(new) > FAULTS_SHOWN else []
        console.say(*new[:FAULTS_SHOWN], *more, error=True)

    def _forecast(self, source: Source) -> None:
        """Forecast from these frames, unless that was done."""
        if source.times is not None and self._target(source).exists():
            return
        known = self._read(source)
        target = self._target(known.source)
        if not target.exists():
            console.say(f"{target}: {self.maker.write(target, known)}")

    def _read(self, source: Source) -> "Known":
        faults = Faults()
        ((_, frames),) = decoding.read([source], self.maker.params, faults)
        context = list(frames)
        faults.check()
        return self.maker.known(source, context)

    def _target(self, source: Source) -> Path:
        last = source.files[-1]
        if source.times is None and last.parent != self.folder:  # each day may have this name
            raise BadInput(
                f"{last}: neither its name nor the file tells a time, which frames in folders by "
                f"date need; set time_format"
            )
        if source.times is None:
            return self.out / f"{readers.stem(last)}.nc"
        moment = EPOCH + timedelta(microseconds=source.times[-1])
        fraction = ".%f" if moment.microsecond else ""
        return self.out / f"{moment:%Y%m%dT%H%M%S{fraction}Z}.nc"

    def _say(self, text: str) -> None:
        """Print the reason of a wait, if it is another than before."""
        if text and text != self.said:
            console.say(*(f"waits: {line}" for line in text.splitlines()), error=True)
            self.said = text


def run(maker: "Maker", folder: Path, out: Path, *, once: bool) -> None:
    """Forecast from the newest frames of a folder into `out`, once or until a signal comes.

    Raises:
        BadInput: another process does the same, names tell no date, or, where it is to be done
            `once`, there is nothing to forecast from.
        NoRoom: the disk or the memory is too small, where it is to be done once.
    """
    text = maker.params.time_format
    if text is not None and not time_format(text).dated:
        raise BadInput(f"time_format = '{text}': has no date, by which two days have an order")
    watch = Watch(maker, folder, out)
    with locks.locked(out / LOCK):
        if once:
            _once(watch)
            return
        # The libraries stay until the end, which they would make half a second longer otherwise.
        gc.freeze()
        console.say(f"watches {folder} for frames; Ctrl-C ends it")
        while True:
            time.sleep(watch.cycle())


def check_places(folder: Path, out: Path) -> None:
    """Check that forecasts have a place of their own.

    Raises:
        BadInput: one of them is no folder, or `out` lies inside the watched one.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: must be a folder, to which frames come")
    if out.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{out}: lies in {folder}, and would be read as part of it; give another")
    if out.suffix == ".nc" or (out.exists() and not out.is_dir()):
        raise BadInput(f"{out}: must be a folder, which gets a file for each newest frame")


def _once(watch: Watch) -> None:
    """Look twice, so that a file that is still being written is known by it, and forecast.

    Raises:
        UserError: no forecast is there at the end.
    """
    watch.seen = watch.look()
    time.sleep(LOOK_SECONDS)
    line = watch.step()
    if watch.done is None:
        raise BadInput(line or f"{watch.folder}: a frame is still being written; run again")
