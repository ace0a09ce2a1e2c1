"""params.yaml is checked at birth: each fault is one line with key, value and what is allowed."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from convlstm.params import loading
from convlstm.params.groups import Demo, Forecast, Ingest, Params, Patch, Train
from convlstm.runtime.errors import BadInput
from tests.builders import ROOT, params_of, write_params


def faults(path: Path) -> list[str]:
    with pytest.raises(BadInput) as raised:
        loading.load(path, Train)
    return str(raised.value).splitlines()


def test_a_group_gets_its_own_keys_only() -> None:
    demo = loading.load(ROOT / "params.yaml", Demo)
    assert set(demo.model_dump()) == set(Demo.model_fields)
    assert not hasattr(demo, "lr")


@pytest.mark.parametrize("written", ["1e-05", "1e-5", "0.00001", "1.0e-05"])
def test_a_small_number_is_a_number_however_it_is_written(tmp_path: Path, written: str) -> None:
    # `-S lr=0.00001` writes 1e-05, which PyYAML reads as text
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("\nlr: 0.003", f"\nlr: {written}"))
    assert loading.load(tmp_path / "params.yaml", Train).lr == 0.00001


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lrr": 1}, "lrr = 1: unknown key; the nearest is lr"),
        ({"lr": "abc"}, "lr = 'abc': should be a valid number"),
        ({"lr": -0.1}, "lr = -0.1: should be greater than 0"),
        ({"lr": float("nan")}, "lr = nan: should be a finite number"),
        ({"epochs": 2.5}, "epochs = 2.5: should be a valid integer"),
        ({"epochs": True}, "epochs = True: should be a valid integer"),
        ({"context_frames": 0}, "context_frames = 0: should be greater than or equal to 1"),
        ({"cell": "gru"}, "cell = 'gru': should be 'convlstm', 'peephole' or 'lstm'"),
        ({"kernel_size": 4}, "kernel_size = 4: must be odd"),
        ({"value_range": [5, 5]}, "value_range = [5, 5]: the first number must be"),
        ({"split": [0.5, 0.5, 0.5]}, "split = [0.5, 0.5, 0.5]: the three shares must add up to 1"),
        ({"split": [1.0, 0.0, 0.0]}, "split = [1.0, 0.0, 0.0]: number 1 should be less than 1"),
        ({"split": [0.5]}, "split = [0.5]: number 2 is missing"),
        ({"value_range": [0]}, "value_range = [0]: number 2 is missing"),
        ({"value_range": [0, 1, 2]}, "value_range = [0, 1, 2]: "),
        ({"tile_size": 8, "patch_size": 9}, "patch_size = 9: must be at most tile_size = 8"),
        ({"test_sequences": ["a"]}, "valid_sequences = []: must be named like test_sequences"),
        (
            {"test_sequences": ["a"], "valid_sequences": ["a"]},
            "test_sequences: ['a'] must not be in valid_sequences too",
        ),
        (
            {"test_sequences": ["a"], "valid_sequences": ["b"], "split_by": "time"},
            "split_by = 'time': valid_sequences and test_sequences must be empty",
        ),
        (
            {"sampling_reverse_start_percent": 70},
            "sampling_reverse_start_percent = 70: must be below the end, 62.5",
        ),
        ({"raw_axes": "TT"}, "raw_axes = 'TT': must name each axis once, with H and W"),
        ({"raw_axes": "XHW"}, "raw_axes = 'XHW': must name each axis once, with H and W"),
    ],
)
def test_a_fault_is_one_line_with_key_and_value(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    write_params(tmp_path, **changes)
    lines = faults(tmp_path / "params.yaml")
    assert len(lines) == 1
    assert words in lines[0]


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    write_params(tmp_path, lr="abc", epochs=0, cell="gru", seeds=1)
    lines = faults(tmp_path / "params.yaml")
    assert len(lines) == 4
    assert all(any(f"{key} = " in line for line in lines) for key in ("lr", "epochs", "cell"))


@pytest.mark.parametrize("other", [{"split": [0.5, 0.1, 0.1]}, {"value_range": [3, 1]}, {"lr": -1}])
def test_a_disagreement_is_told_with_all_other_faults(
    tmp_path: Path, other: dict[str, object]
) -> None:
    write_params(tmp_path, kernel_size=4, **other)
    assert len(faults(tmp_path / "params.yaml")) == 2


@pytest.mark.parametrize("key", ["7", "null", "2016-07-11"])
def test_a_key_that_is_no_text_is_named(tmp_path: Path, key: str) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(f"{text}\n{key}: 1\n")
    (line,) = faults(tmp_path / "params.yaml")
    assert "this key is no text" in line


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("\nseed: 0", ""))
    assert faults(tmp_path / "params.yaml") == [
        f"{tmp_path / 'params.yaml'}: seed: this key is missing; add it"
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("lr: 1\nlr: 2\n", "duplicate key"),
        ("lr: [1\n", "params.yaml"),
        ("just words", "must hold lines of the form"),
        ("a: \0", "params.yaml"),
        ("a: !!python/object:os.system {}", "params.yaml"),
        ("", "must hold lines of the form"),
    ],
)
def test_what_is_no_params_file_is_one_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "params.yaml").write_text(content)
    lines = faults(tmp_path / "params.yaml")
    assert len(lines) == 1
    assert words in lines[0]


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    assert "run this from the root of the repository" in faults(tmp_path / "params.yaml")[0]


@pytest.mark.parametrize(
    ("given", "read"), [(None, ()), (255, (255.0,)), ([0, 255], (0.0, 255.0)), ([], ())]
)
def test_missing_values_are_none_one_or_several(given: object, read: tuple[float, ...]) -> None:
    assert params_of(Patch, missing_value=given).missing_value == read


def test_nan_can_be_a_missing_value() -> None:
    (value,) = params_of(Patch, missing_value=float("nan")).missing_value
    assert value != value


def test_params_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        params_of(Train).lr = 1.0


def test_the_shipped_params_are_the_defaults_that_a_report_compares_with() -> None:
    assert loading.load(ROOT / "params.yaml", Params) == Params()


def test_every_key_has_a_sentence_above_it() -> None:
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if line.split(":")[0] in Params.model_fields:
            assert before.startswith("# ")
            assert before.endswith(".")


def test_changes_are_read_as_dvc_reads_them() -> None:
    known = params_of(Ingest).model_dump(exclude={"raw"})
    known |= {"value_range": (0.0, 255.0), "missing_value": (), "out_of_range": "error"}
    changes = ["value_range=[0, 14]", "missing_value=255", "pixel_values=index"]
    changed = loading.change(known, changes, Forecast, where="a model")
    assert changed.value_range == (0, 14)
    assert changed.missing_value == (255,)
    assert changed.pixel_values == "index"


@pytest.mark.parametrize("change", ["lr=1", "pixel_values", "value_range=[1", "value_range=[2,1]"])
def test_a_change_of_another_kind_is_refused(change: str) -> None:
    known = params_of(Ingest).model_dump(exclude={"raw"})
    known |= {"value_range": (0.0, 255.0), "missing_value": (), "out_of_range": "error"}
    with pytest.raises(BadInput):
        loading.change(known, [change], Forecast, where="a model")


KEYS = sorted(Params.model_fields)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.one_of(st.integers(-5, 5), st.floats(), st.text(max_size=3)), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=4))
def test_any_value_of_any_key_is_taken_or_refused_in_a_line_that_names_a_key(
    changes: dict[str, object],
) -> None:
    given_values = params_of(Params).model_dump() | changes
    try:
        params = loading.change(given_values, [], Params, where="params.yaml")
    except BadInput as error:
        for line in str(error).splitlines():
            assert re.match(rf"params\.yaml: ({'|'.join(KEYS)})\b", line), line
    else:
        again = loading.change(params.model_dump(), [], Params, where="params.yaml")
        assert repr(again) == repr(params)  # what was taken means the same when it is given again
