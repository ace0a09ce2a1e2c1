"""The visible files below a folder, at any depth: frames folder by folder, and what is not read."""

from dataclasses import dataclass, field
from pathlib import Path

from convlstm.ingest import natural, readers
from convlstm.runtime import system


@dataclass
class Tree:
    """The files below `top`: frames by the name of their folder, and all other things.

    The name of a folder is its path from the top, with slashes; that of the top itself is empty.
    Folders and files are in natural order.
    """

    top: Path
    frames: dict[str, list[Path]] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)


def walk(top: Path) -> Tree:
    """Return what is visible below a folder. Symbolic links are followed; loops are not."""
    tree = Tree(top)
    _look_into(top, (), tree)
    return tree


def _look_into(folder: Path, above: tuple[Path, ...], tree: Tree) -> None:
    """Note the files of a folder, and those of the folders in it.

    A link to a folder above is passed over; so is a second way to one folder, which would put its
    frames into two sequences.
    """
    above = (*above, folder.resolve())
    tree.seen.add(above[-1])
    paths = _visible(folder, tree.top)
    files = [path for path in paths if readers.is_read(path)]  # a store of zarr is a folder
    folders = {path for path in paths if system.is_folder(path)} - set(files)
    if files:
        name = "" if folder == tree.top else folder.relative_to(tree.top).as_posix()
        tree.frames[name] = _sorted(files)
    if not paths and folder != tree.top:
        tree.others.append(folder)
    tree.others += [path for path in paths if system.is_file(path) and path not in files]
    for inner in _sorted(sorted(folders)):
        true = inner.resolve()
        if any(each.is_relative_to(true) for each in above):
            continue
        if true in tree.seen:
            tree.others.append(inner)
        else:
            _look_into(inner, above, tree)


def _visible(folder: Path, top: Path) -> list[Path]:
    """Return what is in a folder, by name; nothing if it is not the top and cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except PermissionError:
        if folder == top:
            raise
        return []


def _sorted(paths: list[Path]) -> list[Path]:
    """Return files or folders in natural order of their names without suffixes."""
    return [paths[n] for n in natural.order([readers.stem(path) for path in paths]).positions]
