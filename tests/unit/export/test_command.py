"""`python -m stages.export OUT`: a card of what lies beside the model, and lines for what fails."""

import builtins
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from convlstm.export import command, onnx_file
from convlstm.export.onnx_file import Shape
from convlstm.model import model_file
from convlstm.model.network import Network
from convlstm.patch.folding import Geometry
from convlstm.runtime import signals
from convlstm.runtime.errors import BadInput
from tests.builders import model_of

MODEL = "data/model.safetensors"
Cell = Literal["convlstm", "peephole", "lstm"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of 12 x 16 pixels, and what its run says of it."""
    monkeypatch.setattr(signals, "listen", lambda **_: None)  # the signals stay those of pytest
    monkeypatch.chdir(tmp_path)
    model = model_of("convlstm", Geometry(1, 12, 16, 4))
    quantity = model.quantities[0]._replace(name="rain", unit="dBZ")
    model_file.save(tmp_path / MODEL, replace(model, quantities=(quantity,)))
    (tmp_path / "data/metrics").mkdir()
    scores = {"mse": 12.5, "csi": None}
    dataset = {"frames": 2016, "sequences": 7, "size": "12 x 16", "first": "2026-01-01 00:00:00"}
    dataset |= {"last": "2026-01-07 23:55:00", "windows": {"train": 90, "test": 10}}
    for name, table in (("scores", scores), ("dataset", dataset)):
        (tmp_path / f"data/metrics/{name}.json").write_text(json.dumps(table))
    return tmp_path


def export(*arguments: str) -> None:
    command.run(arguments, prog="export", default_model=MODEL)


@pytest.mark.usefixtures("place")
def test_a_card_tells_what_a_model_is_and_what_its_run_says_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    export("card.md", "--licence", "CC BY 4.0")
    assert capsys.readouterr().out == f"card.md: the card of {MODEL}\n"
    lines = Path("card.md").read_text().splitlines()
    assert lines[0] == "# Model card of model.safetensors"
    # gates of 16 folded and 3 hidden channels, 3 x 3: 12 (19 * 9 + 1); readout 16 (3 + 1)
    for line in (
        "It forecasts 2 frames from the last 3: convlstm of 3 hidden channels, readout frame, "
        "2,128 weights.",
        "2,016 frames of 7 sequences, 12 x 16 pixels, 2026-01-01 00:00:00 to 2026-01-07 23:55:00 "
        "(UTC); windows: 90 train, 10 test.",
        "| rain | dBZ | -32 to 64 | none |",
        "CC BY 4.0",
        'cell: "convlstm"',
        "missing_value: [255.0, NaN]",
    ):
        assert line in lines, line
    assert any(line.startswith("| mse | 12.5 | ") for line in lines)
    assert any(line.startswith("| csi | none | ") for line in lines)
    assert "- It is one forecast without an ensemble: where it is unsure, it blurs." in lines


@pytest.mark.usefixtures("place")
def test_a_second_card_is_the_same_bytes() -> None:
    export("a.md")
    export("b.md")
    assert Path("a.md").read_bytes() == Path("b.md").read_bytes()


def test_a_model_alone_has_a_card_that_says_what_is_not_known(place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / MODEL).rename(place / "elsewhere/model.safetensors")
    export("elsewhere/model.md", "--model", "elsewhere/model.safetensors")
    card = (place / "elsewhere/model.md").read_text()
    assert "No description of the frames lies beside the model." in card
    assert "No scores lie beside the model." in card
    assert "None was given for these weights." in card


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["out.pt"], "out.pt: must end in .onnx, or in .md for a card alone"),
        (["out.md", "--steps", "3"], "out.md: is a card alone, for which --steps and --size mean"),
        (["out.md", "--steps", "0"], "out.md: is a card alone, for which --steps and --size mean"),
        (["out.onnx", "--size", "140"], "--size 140: should be rows and columns, such as 140x140"),
        (["out.onnx", "--size", "0x140"], "--size 0x140: should be rows and columns"),
        (["out.onnx", "--steps", "3"], "--steps: an input of the file, since the readout frame"),
        (["out.onnx", "--size", "9x9"], "--size: is not fixed, since the readout frame takes any"),
        (["out.onnx", "--model", "none"], "none: no such file"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_a_status_and_writes_nothing(
    place: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        export(*arguments)
    assert ended.value.code == 2
    (printed,) = capsys.readouterr().err.splitlines()
    assert printed.startswith(f"error: {line}")
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("out", ["model.onnx", "model.md"])
def test_the_model_itself_is_not_replaced(
    place: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / MODEL).rename("model.md")
    before = Path("model.md").read_bytes()
    with pytest.raises(SystemExit) as ended:
        export(out, "--model", "model.md")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: model.md: is the model itself; give another name\n"
    assert Path("model.md").read_bytes() == before


@pytest.mark.usefixtures("place")
def test_a_card_replaces_a_card_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    export("card.md")
    export("card.md")
    Path("README.md").write_text("# Notes of mine\n")
    with pytest.raises(SystemExit) as ended:
        export("README.md")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: README.md: is there already and no model card; give another name\n"
    )
    assert Path("README.md").read_text() == "# Notes of mine\n"


@pytest.mark.parametrize(
    "table", [{"frames": "many"}, {"frames": 3, "windows": [1]}, {"frames": True, "windows": {}}]
)
def test_a_table_of_others_beside_the_model_is_none(place: Path, table: dict[str, Any]) -> None:
    (place / "data/metrics/dataset.json").write_text(json.dumps(table))
    export("card.md")
    assert "No description of the frames lies beside the model." in Path("card.md").read_text()


def test_scores_of_several_channels_are_rows_of_their_own(place: Path) -> None:
    scores = {"rain": {"mse": 1.5}, "hail": {"mse": 2.5}}
    (place / "data/metrics/scores.json").write_text(json.dumps(scores))
    export("card.md")
    rows = [line for line in Path("card.md").read_text().splitlines() if ".mse" in line]
    assert [row.split(" | ")[:2] for row in rows] == [["| rain.mse", "1.5"], ["| hail.mse", "2.5"]]
    assert all("squared error" in row for row in rows)


def test_what_a_file_calls_its_channel_makes_no_cell_of_its_own(place: Path) -> None:
    model = model_file.load(place / MODEL, torch.device("cpu"))
    quantity = model.quantities[0]._replace(name="a|b\nc")
    model_file.save(place / MODEL, replace(model, quantities=(quantity,)))
    export("card.md")
    assert r"| a\|b\nc | dBZ | -32 to 64 | none |" in Path("card.md").read_text().splitlines()


def test_without_onnx_a_line_names_the_extra(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def poor(name: str, *args: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", poor)
    with pytest.raises(SystemExit) as ended:
        export("out.onnx")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: no onnx here; `python -m pip install onnx onnxscript`, the extra onnx\n"
    )
    assert not list(place.glob("out*"))


def shape_of(
    cell: Cell,
    readout: Literal["frame", "motion"],
    steps: int | None = None,
    size: tuple[int, int] | None = None,
) -> Shape:
    model = model_of(cell, Geometry(1, 12, 16, 4))
    if readout == "motion":
        a = replace(model.network.architecture, readout=readout, patch_size=4)
        model = replace(model, network=Network(a))
    return onnx_file.shape_of(model, steps, size)


def test_an_export_is_tied_to_what_it_must_be_alone() -> None:
    assert shape_of("convlstm", "frame") == (None, None)
    assert shape_of("peephole", "frame") == shape_of("lstm", "frame") == (None, (12, 16))
    assert shape_of("convlstm", "motion") == (2, (12, 16))
    assert shape_of("convlstm", "motion", 7, (20, 30)) == (7, (20, 30))
    assert shape_of("peephole", "motion", 7) == (7, (12, 16))


@pytest.mark.parametrize("cell", ["peephole", "lstm"])
def test_a_model_that_is_tied_to_its_size_is_not_exported_for_another(cell: Cell) -> None:
    for readout in ("frame", "motion"):
        with pytest.raises(BadInput, match=f"--size: this {cell} model is tied to 12x16 pixels"):
            shape_of(cell, readout, None, (20, 30))


def test_no_step_is_refused() -> None:
    with pytest.raises(BadInput, match="steps = 0: must be at least 1"):
        shape_of("convlstm", "motion", 0)


def test_the_card_of_an_ensemble_loads_members(place: Path) -> None:
    torch.manual_seed(0)
    model = model_file.load(place / MODEL, torch.device("cpu"))
    a = replace(model.network.architecture, readout="cascade", scales=(2.0,), patch_size=4)
    model_file.save(place / MODEL, replace(model, network=Network(a)))
    export("card.md")
    card = (place / "card.md").read_text()
    assert "forecaster.predict(frames, steps=2, members=24, seed=0)" in card
    assert "members are equally likely futures" in card
