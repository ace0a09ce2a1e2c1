"""Runs one stage in this fresh interpreter and prints as JSON what it loaded, read and wrote.

Usage: python trace_stage.py STAGE, in the folder that holds params.yaml and data/.
"""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

ROOT, HERE = Path(__file__).resolve().parents[2], Path.cwd().resolve()
sys.path.insert(0, str(ROOT))

import h5py  # noqa: E402 - the path must be set first
import safetensors  # noqa: E402

from convlstm.params import loading  # noqa: E402
from tests.house.spy import keys_read  # noqa: E402

read: set[str] = set()
written: set[str] = set()
opened: set[str] = set()
groups: set[str] = set()


def named(path: Any) -> set[str]:
    """The path from here, if it is a file of the pipeline; bytecode, for one, is none."""
    resolved = Path(path).resolve()
    return {str(resolved.relative_to(HERE))} if resolved.is_relative_to(HERE / "data") else set()


def on_event(event: str, args: tuple[Any, ...]) -> None:
    """Note Python's own opens and renames; a file that is renamed into its place was written."""
    if event == "os.rename":
        written.update(named(args[1]))
        read.difference_update(named(args[0]))
    elif event == "open" and isinstance(args[0], str | Path) and not Path(args[0]).is_dir():
        is_reading = args[1] is None or "r" in args[1]
        (read if is_reading else opened).update(named(args[0]))


def spied(original: Any, files: set[str]) -> Any:
    """Wrap a file opener of compiled code, which raises no event of its own."""

    def opener(path: Any, *args: Any, **kwargs: Any) -> Any:
        files.update(named(path))
        return original(path, *args, **kwargs)

    return opener


class File(h5py.File):  # type: ignore[misc] # h5py ships no types
    """An h5py file that notes what it reads."""

    def __init__(self, path: Any, mode: str, **options: Any) -> None:
        if mode == "r":  # what it writes passes through an object of Python's
            read.update(named(path))
        super().__init__(path, mode, **options)


def check(values: Any, group: Any, **where: Any) -> Any:
    """Check as ever, and note the keys that the stage asks for."""
    groups.update(group.model_fields)
    return original_check(values, group, **where)


original_check = loading.check
loading.check = check
h5py.File = File
safetensors.safe_open = spied(safetensors.safe_open, read)  # type: ignore[misc] # to spy on it
sys.addaudithook(on_event)
with keys_read() as keys:
    runpy.run_module(f"stages.{sys.argv[1]}", run_name="__main__")

partial = {
    file
    for file in read | written | opened
    if any(part.startswith(".") for part in Path(file).parts)
}
modules = {
    str(Path(module.__file__).resolve().relative_to(ROOT))
    for name, module in list(sys.modules.items())
    if name.split(".")[0] in ("convlstm", "stages")
    and module.__file__
    and not module.__file__.endswith("__init__.py")
}
print(
    json.dumps(
        {
            "modules": sorted(modules | {f"stages/{sys.argv[1]}.py"}),
            "read": sorted(read - written - partial),
            "written": sorted(written - partial),
            "opened for writing": sorted(opened),
            "keys checked": sorted(groups),
            "keys read": sorted(keys),
            "torch": "torch" in sys.modules,
        }
    )
)
