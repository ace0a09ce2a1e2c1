"""The command that exports a model: its card, or an ONNX file with the card beside it."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from convlstm.runtime import console, exits
from convlstm.runtime.errors import BadInput
from convlstm.runtime.files import replacing

CARD, ONNX = ".md", ".onnx"


def run(arguments: Sequence[str], *, prog: str, default_model: str) -> None:
    """Parse a command line and export; ends the process with a status where it fails.

    Args:
        arguments: the words of the command line.
        prog: the name of the command, for its help.
        default_model: the model file, if none is named.
    """
    parsed = _parser(prog, default_model).parse_args(arguments)
    exits.run(lambda: export(parsed))


def export(arguments: argparse.Namespace) -> None:
    """Write OUT.onnx and its card OUT.md, or OUT.md alone.

    Raises:
        BadInput: OUT ends otherwise, or would replace the model or a text that is no card, or an
            option cannot be exported.
    """
    out, source = Path(arguments.out), Path(arguments.model)
    _check_place(out, source)
    if out.suffix == CARD and (arguments.steps, arguments.size) != (None, None):
        raise BadInput(f"{out}: is a card alone, for which --steps and --size mean nothing")
    size = _size(arguments.size)
    # Imported here, because they take seconds and a typo should not wait for them.
    import torch

    from convlstm.export import card, onnx_file
    from convlstm.model import model_file

    if not card.is_free(out.with_suffix(CARD)):
        raise BadInput(
            f"{out.with_suffix(CARD)}: is there already and no model card; give another name"
        )
    model = model_file.load(source, torch.device("cpu"))
    onnx = None
    if out.suffix == ONNX:
        onnx = out.name, onnx_file.shape_of(model, arguments.steps, size)
    facts = card.facts_of(source, arguments.licence, onnx)
    if onnx is not None:
        onnx_file.write(out, model, onnx[1], card.about(model, facts))
        console.say(f"{out}: {_told(onnx[1])}")
    with replacing(out.with_suffix(CARD)) as path:
        path.write_text(card.text(model, facts), encoding="utf-8")
    console.say(f"{out.with_suffix(CARD)}: the card of {source}")


def _check_place(out: Path, source: Path) -> None:
    """Check that OUT has one of our endings, and that the model is not lost."""
    if out.suffix not in (CARD, ONNX):
        raise BadInput(f"{out}: must end in {ONNX}, or in {CARD} for a card alone")
    for path in (out, out.with_suffix(CARD)):
        if path.exists() and source.exists() and path.samefile(source):
            raise BadInput(f"{path}: is the model itself; give another name")


def _told(shape: tuple[int | None, tuple[int, int] | None]) -> str:
    steps, size = shape
    many = "any number of steps" if steps is None else f"{steps} steps"
    return f"{many} of frames of " + ("any size" if size is None else f"{size[0]} x {size[1]}")


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)", text)
    if found is None:
        raise BadInput(f"--size {text}: should be rows and columns, such as 140x140")
    return int(found[1]), int(found[2])


def _parser(prog: str, default_model: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Write a model as ONNX, and its card in Markdown."
    )
    parser.add_argument("out", help="a file that ends in .onnx, or in .md for the card alone")
    parser.add_argument("--model", default=default_model, help="default: %(default)s")
    parser.add_argument(
        "--steps", type=int, help="frames to forecast, of the readouts motion and cascade"
    )
    parser.add_argument(
        "--size",
        help="of the frames of these readouts, such as 140x140; as in training, if not given",
    )
    parser.add_argument("--licence", help="of the weights, for the card")
    return parser
