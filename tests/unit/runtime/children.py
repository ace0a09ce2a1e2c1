"""Commands that wait for their end; test_signals and test_locks run them as processes.

`python -m tests.unit.runtime.children COMMAND [ARGUMENT]` prints `ready` when it has begun to wait.
`parent COMMAND` runs the command in yet another process, as DVC runs a stage.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from convlstm.runtime import exits, locks, signals
from convlstm.storage import frames as frames_h5
from convlstm.storage import hdf5
from tests.builders import frames_from

FOREVER_SECONDS = 60.0  # longer than any test waits


def say(word: str) -> None:
    """Tell the test how far the command has come."""
    print(word, flush=True)


def wait() -> None:
    """Wait for a signal at a point where it may be raised at once."""
    try:
        say("ready")
        time.sleep(FOREVER_SECONDS)
    finally:
        say("tidy")


def wait_for_a_line() -> None:
    """Wait for a line of input, and then as above."""
    say("listening")
    sys.stdin.readline()
    wait()


def save_after_the_request(stop: signals.StopRequest) -> None:
    """Wait for a signal that is only noted, then save as a training does."""
    say("ready")
    while not stop.pending:
        time.sleep(0.01)
    say("saved")


def check() -> None:
    """Stop inside the block that defers signals."""
    with signals.deferred() as stop:
        save_after_the_request(stop)
        stop.check()
        say("not stopped")


def leave() -> None:
    """Stop at the end of the block that defers signals."""
    with signals.deferred() as stop:
        save_after_the_request(stop)
    say("not stopped")


def hang() -> None:
    """Come to no point where it may stop; the argument is the time that it is given."""
    signals.GRACE_SECONDS = float(sys.argv[2])
    with signals.deferred() as stop:
        save_after_the_request(stop)
        time.sleep(FOREVER_SECONDS)
        os._exit(7)


def outlive_the_parent() -> None:
    """Go on after the request until the parent has ended, and has been seen to end."""
    (watcher,) = set(threading.enumerate()) - {threading.main_thread()}
    with signals.deferred() as stop:
        save_after_the_request(stop)
        watcher.join()
        say("through")


def store() -> None:
    """Write a shard of frames; the stop is asked for in the middle of a write to the disk.

    The arguments are the file, and the number of the write.
    """
    writes = 0

    def ask(_: FrameType, event: str, function: Any) -> None:
        nonlocal writes
        if event != "c_call" or function.__name__ != "write":
            return
        if isinstance(function.__self__, FileIO):
            writes += 1
            if writes == int(sys.argv[3]):
                signal.raise_signal(signal.SIGTERM)

    sys.setprofile(ask)
    with hdf5.create(Path(sys.argv[2])) as file:
        frames_h5.append_sequence(file, "s", frames_from(np.ones((3, 1, 30, 30))))


def load() -> None:
    """Wait as a library does that is being loaded, before signals are listened to."""
    exits.before_loading()
    wait()


def stick() -> None:
    """Never come back to Python, as a library that waits for memory without an end."""
    mutex = ctypes.create_string_buffer(64)
    lock = ctypes.PyDLL(None).pthread_mutex_lock  # PyDLL keeps the lock of the interpreter
    lock(mutex)
    say("ready")
    lock(mutex)  # waits for ever


def film() -> None:
    """Be interrupted where matplotlib then raises an error of its own."""
    from matplotlib.animation import PillowWriter
    from matplotlib.figure import Figure

    class Slow(Figure):
        def savefig(self, *_: Any, **__: Any) -> None:
            wait()

    picture = Slow()
    writer = PillowWriter(fps=4)
    with writer.saving(picture, "film.gif", 100):
        writer.grab_frame()


def hold() -> None:
    """Hold the lock file that is the argument."""
    with locks.locked(Path(sys.argv[2])):
        wait()


def wait_for_lock() -> None:
    """Hold the lock file that is the argument, as soon as nobody else does."""
    with locks.awaited(Path(sys.argv[2]), say):
        wait()


COMMANDS = {
    "wait": wait,
    "wait_for_a_line": wait_for_a_line,
    "check": check,
    "leave": leave,
    "hang": hang,
    "outlive_the_parent": outlive_the_parent,
    "store": store,
    "hold": hold,
    "wait_for_lock": wait_for_lock,
    "stick": stick,
    "film": film,
}

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["parent", name]:
            subprocess.run([sys.executable, "-m", __spec__.name, "child", name], check=False)
        case ["child", name]:
            exits.run(COMMANDS[name], child_of_dvc=True)
        case ["load"]:
            load()
        case [name, *_]:
            exits.run(COMMANDS[name])
