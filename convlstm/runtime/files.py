"""Files and folders that are whole or absent: written beside their place, then moved into it."""

import csv
import errno
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from convlstm.runtime import system
from convlstm.runtime.errors import BadInput, Faults, NoRoom

FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
SYNCED_AT_ONCE = 16  # files, which a disk takes in a twentieth of the time of one after the other


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; at the end of the block the file replaces `path`.

    This and `replacing_folder` are the only ways in which the pipeline makes files. A reader sees
    the whole old file or the whole new one, even after a kill or a power cut. After an exception
    the old file is untouched and nothing is left beside it.

    Raises:
        NoRoom: the disk is full.
        BadInput: the folder cannot be written to.
    """
    # The suffix stays, because writers choose a format by it.
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        with _explained(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)  # what a killed run left, or a link to elsewhere
            temporary.touch(exist_ok=False)
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        with suppress(OSError):  # the exception from above says more
            temporary.unlink()


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to write into; at the end of the block it replaces `path`.

    A kill between the two renames leaves no folder at all, never half of one.
    """
    temporary, old = (path.with_name(f".{path.name}.{kind}") for kind in ("partial", "old"))
    try:
        with _explained(path, temporary):
            for rest in (temporary, old):
                _remove(rest)
            temporary.mkdir(parents=True)
            yield temporary
            with ThreadPoolExecutor(SYNCED_AT_ONCE) as pool:
                for _ in pool.map(_sync, (temporary, *temporary.rglob("*"))):
                    pass  # an error is raised here
            if path.exists():
                path.replace(old)
            try:
                temporary.replace(path)
            except BaseException:
                if old.exists():
                    old.replace(path)
                raise
            _sync(path.parent)
    finally:
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder, as far as we may; what stays is in the way of the next."""
    with suppress(OSError):
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path, temporary: Path) -> Iterator[None]:
    """Turn a full or read-only disk into a `UserError`, whichever library ran into it."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # HDF5 and NumPy give the error number, or only the fact, in the text.
        in_text = re.search(r"errno = (\d+)", str(error))
        number = int(in_text[1]) if in_text else getattr(error, "errno", None)
        if number in system.FULL or re.search(r"requested and \d+ written", str(error)):
            raise _no_room(path, _size(temporary) + 1) from None
        if number in FORBIDDEN:
            left = _left_over(error, path)
            if left is not None:
                raise system.in_the_way(left, number) from None
            raise BadInput(f"{path}: cannot be written ({os.strerror(number)})") from None
        raise


def _left_over(error: OSError | RuntimeError, path: Path) -> Path | None:
    """Return the file or folder of ours beside `path` that a user may not remove or replace."""
    names = (getattr(error, key, None) for key in ("filename2", "filename"))
    hidden = [Path(name) for name in names if name and Path(name).name.startswith(f".{path.stem}.")]
    # Where the folder is closed to us nothing is in the way.
    may_write = os.access(path.parent, os.W_OK, effective_ids=True)
    return next((name for name in hidden if may_write and os.path.lexists(name)), None)


def _no_room(path: Path, bytes_needed: int) -> NoRoom:
    return NoRoom(
        f"{path}: no room for it: it needs at least {bytes_needed:,} bytes, but "
        f"{system.scarcity(path.parent, bytes_needed)}; "
        f"make room and run again, nothing else has changed"
    )


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 if there is none."""
    if path.is_dir():
        return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
    return path.stat().st_size if path.exists() else 0


def check_new_folder(path: Path, *, beside: Path) -> None:
    """Check that files can be written into `path` without loss.

    Raises:
        BadInput: the folder is not empty, or lies inside `beside`.
    """
    if path.resolve().is_relative_to(beside.resolve()):
        raise BadInput(f"{path}: lies in {beside}, and would be read as part of it; give another")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadInput(f"{path}: is there already; give a new folder, so that nothing is lost")


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a table with a column for each key of the first row; NaN becomes an empty cell."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.8g}"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write nested numbers and texts for people and for `dvc metrics`; NaN becomes null."""
    rounded = json.loads(
        json.dumps(content),
        parse_constant=lambda _: None,
        parse_float=lambda text: float(f"{float(text):.8g}"),
    )
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")


def write_sums(path: Path, tables: Iterable[Path]) -> None:
    """Write the SHA-256 of the files beside `path`, as `sha256sum --check` takes them."""
    with replacing(path) as temporary:
        temporary.write_text("".join(map(_sum_line, tables)), encoding="utf-8")


def check_sums(tables: Iterable[Path], sums: Iterable[Path]) -> None:
    """Check that files are as they were when `write_sums` wrote `sums` beside them.

    Raises:
        BadInput: some are not, or are missing; there is a line for each.
    """
    faults = Faults()
    known: set[str] = set()
    for path in sums:
        with faults.collected():
            known.update(_content(path).decode(errors="replace").splitlines(keepends=True))
    faults.check()
    for path in tables:
        with faults.collected():
            if _sum_line(path) not in known:
                raise BadInput(f"{path}: not as its stage wrote it; `dvc repro` makes it again")
    faults.check()


def _sum_line(path: Path) -> str:
    return f"{sha256(_content(path)).hexdigest()}  {path.name}\n"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); run `dvc repro`") from None


def to_text(content: Mapping[str, Any]) -> str:
    """Return numbers, texts, tuples and mappings of them as JSON; equal content, equal text."""
    return json.dumps(content, sort_keys=True)


def from_text(text: str) -> dict[str, Any]:
    """Return the content that `to_text` wrote; lists, the only sequences of JSON, become tuples.

    Raises:
        ValueError: the text is not a JSON object.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return {name: _tupled(value) for name, value in content.items()}


def _tupled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tupled(inner) for name, inner in value.items()}
    return tuple(_tupled(inner) for inner in value) if isinstance(value, list) else value
