"""Where forecasts go: each is whole or absent, a second run goes on, and nothing else is lost.

A folder that holds a forecast says in `.forecast` what it was made from (a hash of the model, the
options and the input), and which files belong to it.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from convlstm.forecast.params import Ensemble, Forecast
from convlstm.ingest.sources import Source
from convlstm.runtime import files
from convlstm.runtime.errors import BadInput
from convlstm.version import VERSION

MARK = ".forecast"
LEFT_BY_A_KILL = re.compile(r"\..*\.(partial|old)")


class Origin(NamedTuple):
    """The things that decide a forecast beside its input; `model` is the SHA-256 of its file."""

    model: str
    steps: int | None
    wanted: Ensemble
    params: Forecast
    version: str = VERSION


@dataclass(frozen=True)
class Job:
    """A forecast to make: of a sequence, to a folder or a NetCDF file."""

    source: Source
    target: Path
    origin: Origin
    overwrite: bool

    @property
    def made_from(self) -> str:
        """A hash of all that decides the forecast; files of the input by name, size and time."""
        states = [(path.name, *_state(path)) for path in self.source.files]
        content = {"origin": repr(self.origin), "files": states, "part": self.source.part}
        return sha256(files.to_text(content).encode()).hexdigest()

    def is_done(self) -> bool:
        """Return whether this very forecast is there already.

        Raises:
            BadInput: another one is there and may not be replaced, or other files are beside it.
        """
        if not (self.target / MARK).is_file():
            return False
        try:
            mark = files.from_text((self.target / MARK).read_text(encoding="utf-8"))
            own = set(mark["files"])
        except (ValueError, KeyError, TypeError):  # broken, or of another program
            mark, own = {}, set()
        there = _files(self.target)
        if not self.overwrite and mark.get("made_from") != self.made_from:
            raise BadInput(
                f"{self.target}: holds a forecast of other frames, options or model; "
                f"give --overwrite to replace it, or a new folder"
            )
        if not self.overwrite and own <= there:
            return True
        if there - own:
            name = min(there - own)
            raise BadInput(f"{self.target / name}: would be lost with the old forecast; move it")
        return False

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Yield a path to write to; at the end of the block the forecast is at `target`, whole."""
        if is_netcdf(self.target):  # which is whole or absent by itself
            yield self.target
            return
        with files.replacing_folder(self.target) as folder:
            yield folder
            mark = {"made_from": self.made_from, "files": sorted(_files(folder))}
            (folder / MARK).write_text(files.to_text(mark), encoding="utf-8")


def digest(model: str) -> str:
    """Return the SHA-256 of a model file."""
    with Path(model).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def check(out: Path, *, beside: Path, overwrite: bool) -> None:
    """Check that forecasts can be written to `out` without loss.

    Raises:
        BadInput: it lies inside `beside`, or holds other things than forecasts.
    """
    if out.is_symlink() and not out.exists():
        raise BadInput(f"{out}: is a link that leads nowhere; remove it, or give another name")
    inside = out.resolve().is_relative_to(beside.resolve())
    replaced = overwrite and is_netcdf(out) and out.is_file()
    if inside or not (replaced or (out.is_dir() and _holds_forecasts_only(out))):
        files.check_new_folder(out, beside=beside)


def jobs(
    out: Path, found: Sequence[Source], origin: Origin, *, overwrite: bool, alone: bool
) -> list[Job]:
    """Return a job for each sequence; each has a folder of its own, unless the only one is alone.

    Raises:
        BadInput: `out` is a NetCDF file, which holds one, or a folder would lie in another.
    """
    if alone:
        return [Job(source, out, origin, overwrite) for source in found]
    if is_netcdf(out):
        raise BadInput(f"{out}: holds one sequence, and there are {len(found)}; give a new folder")
    names = {source.name for source in found}
    for name in names:
        above = names & {parent.as_posix() for parent in PurePosixPath(name).parents}
        if above:
            raise BadInput(f"{name}: its folder would lie in that of {above.pop()}; rename one")
    return [Job(source, out / source.name, origin, overwrite) for source in found]


def is_netcdf(out: Path) -> bool:
    """Return whether a forecast becomes one file."""
    return out.suffix == ".nc" and not out.is_dir()


def _state(path: Path) -> tuple[int, int]:
    """Return the size and the time of change of a file; nothing of a broken link."""
    try:
        state = path.stat()
    except OSError:
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _files(folder: Path) -> set[str]:
    """Return the files in a folder but for its mark, as paths from there."""
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return paths - {MARK}


def _holds_forecasts_only(folder: Path) -> bool:
    """Return whether a folder is a forecast, or holds folders of forecasts and nothing else."""
    if (folder / MARK).is_file():
        return True
    inner = [path for path in folder.iterdir() if not LEFT_BY_A_KILL.fullmatch(path.name)]
    return all(path.is_dir() and not path.is_symlink() for path in inner) and all(
        map(_holds_forecasts_only, inner)
    )
