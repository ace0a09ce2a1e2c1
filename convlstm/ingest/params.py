"""The params of the ingest stage: where raw files lie, how they are read, and which are refused."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from convlstm.ingest.time_format import fault
from convlstm.params.group import Count, Group, Rule, Text, as_tuple
from convlstm.runtime.errors import BadInput


def axes_are_letters(raw_axes: str | None) -> str | None:
    """Allow N sequence, T time, C channel, H row, W col, each once, and ask for H and W."""
    if raw_axes is None:
        return None
    if set("HW") <= set(raw_axes) <= set("NTCHW") and len(set(raw_axes)) == len(raw_axes):
        return None
    return f"raw_axes = {raw_axes!r}: must name each axis once, with H and W among N T C H W"


def time_format_tells_a_time(time_format: str | None) -> str | None:
    """Ask for directives from which one time can be told."""
    return fault(time_format)


class TooLarge(BadInput):
    """A frame has more pixels than `max_pixels`; nothing of it has been decoded."""


class Reading(Group):
    """How the names and the numbers of raw files are read."""

    RULES: ClassVar[tuple[Rule, ...]] = (axes_are_letters, time_format_tells_a_time)

    pixel_values: Literal["gray", "luminance", "index", "rgb"]
    raw_axes: str | None
    raw_dataset: Annotated[str | tuple[str, ...] | None, BeforeValidator(as_tuple)]
    apply_scale: bool
    time_format: str | None
    max_pixels: Count

    def datasets_among(self, names: Sequence[str]) -> list[str]:
        """Return the datasets that `raw_dataset` lists or parts by commas, one for each channel.

        Args:
            names: those of the file; one of them may hold a comma itself.
        """
        wanted = self.raw_dataset or ()
        if isinstance(wanted, str):
            wanted = (wanted,) if wanted.strip("/") in names else tuple(wanted.split(","))
        return [name.strip().strip("/") for name in wanted]

    def limited(self, pixels: int) -> "Reading":
        """Return the same but for a `max_pixels` that is not more than this."""
        return self.model_copy(update={"max_pixels": min(self.max_pixels, pixels)})

    def check_pixels(self, path: Path, count: int) -> None:
        """Check that a frame of the file has at most `max_pixels` pixels.

        Raises:
            BadInput: it has more.
        """
        if count > self.max_pixels:
            raise self.too_large(path)

    def too_large(self, path: Path) -> "TooLarge":
        """Return the error for a frame over `max_pixels`, whose size a decoder may not report."""
        return TooLarge(
            f"{path}: has more pixels than max_pixels = {self.max_pixels}; "
            f"raise it if the file is to be trusted"
        )


class Ingest(Reading):
    """Where the raw frames lie, and how they are read."""

    raw: Text


@contextmanager
def unreadable(path: Path, kind: str) -> Iterator[None]:
    """Name the file if the block raises; a decoder may raise anything on one that is broken.

    Args:
        path: of the file, which the reason need not name again.
        kind: what it is to be read as, with its article.

    Raises:
        BadInput: for any other exception but a full memory, which is no fault of the file.
    """
    try:
        yield
    except (BadInput, MemoryError):
        raise
    except PermissionError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:
        reason = " ".join(str(error).split()).replace(f" '{path}'", "")
        raise BadInput(
            f"{path}: cannot be read as {kind} ({reason}); replace or remove it"
        ) from None
