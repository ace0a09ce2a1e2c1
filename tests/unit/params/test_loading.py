"""params.yaml is checked before any work: each fault is one line with key, value and remedy."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.demo.params import Demo
from convlstm.forecast.params import Ensemble, Forecast
from convlstm.params import loading, overrides
from convlstm.params.group import Group
from convlstm.plot.params import Plot
from convlstm.runtime.errors import BadInput
from convlstm.train.params import Train
from stages.check import Params
from tests.builders import ROOT, params_of, write_params

SHIPPED = ROOT / "params.yaml"


def check_all(path: Path) -> Params:
    """Check a params.yaml as the stage `check` does."""
    return loading.check(loading.read(path), Params, where=str(path))


def faults(path: Path) -> list[str]:
    """Return the lines by which a params.yaml is refused."""
    with pytest.raises(BadInput) as raised:
        check_all(path)
    return str(raised.value).splitlines()


def groups(base: type[Group] = Group) -> set[type[Group]]:
    """Return all groups of this project that are based on `base`."""
    own = base.__subclasses__()
    ours = {group for group in own if group.__module__.startswith(("convlstm.", "stages."))}
    return ours.union(*(groups(group) for group in own))


def test_the_shipped_params_are_right() -> None:
    assert set(check_all(SHIPPED).model_dump()) == set(loading.read(SHIPPED))


def test_a_folder_may_be_named_by_a_date_without_quotes(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    for key, name in (("valid", "2021-02-05"), ("test", "2021-2-3")):
        text = text.replace(f"{key}_sequences: []", f"{key}_sequences: [{name}]")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    params = check_all(tmp_path / "params.yaml")
    assert (params.valid_sequences, params.test_sequences) == (("2021-02-05",), ("2021-2-3",))


def test_a_name_that_looks_like_a_number_needs_quotes(tmp_path: Path) -> None:
    # YAML reads 0010 as 10, which may be another folder
    write_params(tmp_path, valid_sequences=[10], test_sequences=["11"])
    (line,) = faults(tmp_path / "params.yaml")
    assert line.endswith("number 1 should be a valid string, in quotes if it looks like a number")


def test_the_keys_of_all_groups_are_those_of_the_shipped_file() -> None:
    """But for the options of a forecast, which is no stage."""
    assert set(Params.model_fields) == set(loading.read(SHIPPED))
    shipped = groups() - {Ensemble}
    assert {key for group in shipped for key in group.model_fields} == set(Params.model_fields)


def test_no_key_of_any_group_has_a_default() -> None:
    assert {Params, Forecast} <= groups()
    defaults = {
        f"{group.__name__}.{key}"
        for group in groups()
        for key, field in group.model_fields.items()
        if not field.is_required()
    }
    assert defaults == set()


@pytest.mark.parametrize("group", [Demo, Train, Plot])
def test_load_returns_the_keys_of_its_own_group_only(group: type[Group]) -> None:
    values = loading.read(SHIPPED)
    loaded = loading.load(SHIPPED, group)
    assert loaded == group.model_validate({key: values[key] for key in group.model_fields})
    assert set(loaded.model_dump()) < set(values)


def test_load_does_not_look_at_keys_of_other_groups(tmp_path: Path) -> None:
    write_params(tmp_path, demo_size="wide", unknown=1, split=[1], kernel_size=5)
    assert loading.load(tmp_path / "params.yaml", Train).kernel_size == 5
    with pytest.raises(BadInput, match=r"params\.yaml: demo_size = 'wide': should be a valid"):
        loading.load(tmp_path / "params.yaml", Demo)


def test_load_reports_all_faults_of_its_own_group_at_once(tmp_path: Path) -> None:
    write_params(tmp_path, lr="abc", epochs=0, kernel_size=4, demo_size=1)
    with pytest.raises(BadInput) as raised:
        loading.load(tmp_path / "params.yaml", Train)
    lines = [
        line.removeprefix(f"{tmp_path}/params.yaml: ") for line in str(raised.value).split("\n")
    ]
    assert sorted(line.partition(" = ")[0] for line in lines) == ["epochs", "kernel_size", "lr"]


@pytest.mark.parametrize("written", ["1e-05", "1e-5", "0.00001", "1.0e-05"])
def test_a_small_number_is_a_number_however_it_is_written(tmp_path: Path, written: str) -> None:
    # `-S lr=0.00001` writes 1e-05, which PyYAML reads as text
    text = SHIPPED.read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(re.sub(r"\nlr: [\d.]+", f"\nlr: {written}", text))
    assert loading.load(tmp_path / "params.yaml", Train).lr == 0.00001


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lrr": 1}, "lrr = 1: unknown key; the nearest is lr"),
        ({"learning_rates": 1}, "learning_rates = 1: unknown key"),
        ({"lr": "abc"}, "lr = 'abc': should be a valid number"),
        ({"lr": -0.1}, "lr = -0.1: should be greater than 0"),
        ({"lr": float("nan")}, "lr = nan: should be a finite number"),
        ({"epochs": 2.5}, "epochs = 2.5: should be a valid integer"),
        ({"epochs": True}, "epochs = True: should be a valid integer"),
        ({"context_frames": 0}, "context_frames = 0: should be greater than or equal to 1"),
        ({"cell": "gru"}, "cell = 'gru': should be 'convlstm', 'peephole' or 'lstm'"),
        ({"kernel_size": 4}, "kernel_size = 4: must be odd"),
        ({"split": [1.0, 0.0, 0.0]}, "split = [1.0, 0.0, 0.0]: number 1 should be less than 1"),
        ({"split": [0.5]}, "split = [0.5]: number 2 is missing"),
        ({"value_range": [0]}, "value_range = [0]: number 2 is missing"),
        ({"value_range": [0, 1, 2]}, "value_range = [0, 1, 2]: should hold at most 2 values"),
        ({"hidden_channels": 16}, "hidden_channels = 16: should be a list, such as [1, 2]"),
        ({"hidden_channels": []}, "hidden_channels = []: should hold at least 1 value(s)"),
        ({"raw": ""}, "raw = '': should not be empty"),
        ({"raw": "a\0b"}, "raw = 'a\\x00b': must not hold a null character"),
        ({"epochs": 10**13}, "epochs = 10000000000000: should be less than or equal to 10000000"),
        ({"lr": 1e300}, "lr = 1e+300: should be less than or equal to 1000000"),
        ({"sample_windows": 10**10}, "sample_windows = 10000000000: should be less than or equal"),
        ({"demo_size": 10**9}, "demo_size = 1000000000: should be less than or equal to 10000"),
        ({"cell": "x" * 99}, f"cell = '{'x' * 56}...: should be"),
    ],
)
def test_a_fault_is_one_line_with_key_and_value(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    write_params(tmp_path, **changes)
    (line,) = faults(tmp_path / "params.yaml")
    assert line.startswith(f"{tmp_path / 'params.yaml'}: {words}")


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    write_params(tmp_path, lr="abc", epochs=0, cell="gru", seeds=1, demo_size=1, split=[0.5] * 3)
    lines = [line.split(": ", 1)[1] for line in faults(tmp_path / "params.yaml")]
    keys = [line.partition(" = ")[0] for line in lines]
    assert sorted(keys) == ["cell", "demo_size", "epochs", "lr", "seeds", "split"]
    assert "seeds = 1: unknown key; the nearest is seed" in lines


@pytest.mark.parametrize("other", [{"split": [0.5, 0.1, 0.1]}, {"value_range": [3, 1]}, {"lr": -1}])
def test_a_broken_rule_is_reported_with_all_other_faults(
    tmp_path: Path, other: dict[str, object]
) -> None:
    write_params(tmp_path, kernel_size=4, **other)
    assert len(faults(tmp_path / "params.yaml")) == 2


@pytest.mark.parametrize("key", ["7", "null"])
def test_a_key_that_is_not_a_text_is_named(tmp_path: Path, key: str) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(f"{text}\n{key}: 1\n")
    (line,) = faults(tmp_path / "params.yaml")
    assert "this key is not a text; remove it" in line


def test_a_file_of_one_key_that_is_not_a_text_is_refused_in_lines(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(": step\n")  # as a flipped bit once left it
    assert f"{path}: None: this key is not a text; remove it" in faults(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text(encoding="utf-8").replace("\nseed: 0", ""))
    expected = f"{path}: seed: this key is missing; add it"
    assert faults(path) == [expected]
    with pytest.raises(BadInput, match=f"^{re.escape(expected)}$"):
        loading.load(path, Train)
    loading.load(path, Demo)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("lr: 1\nlr: 2\n", "duplicate key"),
        ("lr: [1\n", "params.yaml"),
        ("just words", "must hold lines of the form"),
        ("a: \0", "params.yaml"),
        ("a: !!python/object:os.system {}", "params.yaml"),
        ("", "must hold lines of the form"),
        (b"a: \xff", "params.yaml"),
        ("a: !!int abc", "invalid literal"),
        ("a: !!int ''", "a tag (!!) does not fit its value"),
        ("a: !!bool abc", "a tag (!!) does not fit its value: 'abc'"),
        ("a: !!float abc", "could not convert"),
        (f"a: {'9' * 5000}", "digits"),
        (f"a: {'[' * 5000}", "more than 10 values inside each other"),
        (f"a: {'{b: ' * 5000}", "more than 10 values inside each other"),
        ("a: &b [1]\nc: *b\n", "found the alias *b; write out"),
        ("a: &b [*b]", "found the alias *b; write out"),
        ("a: &b {x: 1}\nc: {<<: *b}\n", "found the alias *b; write out"),
        ("a: " + "x" * 2**20, "has more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_not_yaml_is_refused_in_one_line(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    content = content.encode() if isinstance(content, str) else content
    (tmp_path / "params.yaml").write_bytes(content)
    (line,) = faults(tmp_path / "params.yaml")
    assert words in line


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a device"])
def test_what_is_no_regular_file_is_refused_unread(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "params.yaml"
    match kind:
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to("/dev/zero")
    (line,) = faults(path)
    assert line.endswith("must be a file of lines of the form `key: value`")


def test_a_number_that_python_does_not_write_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = SHIPPED.read_text(encoding="utf-8")
    path.write_text(text.replace("\nepochs: 36", f"\nepochs: 0x{'f' * 5000}"), encoding="utf-8")
    (line,) = faults(path)
    assert "epochs = a number of more than 4300 digits: should be less than" in line


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    (line,) = faults(tmp_path / "params.yaml")
    assert "run this from the root of the repository" in line


KNOWN = params_of(Forecast).model_dump()


def test_changes_are_read_as_dvc_reads_them() -> None:
    changes = ["value_range=[0, 14]", "missing_value=255", "pixel_values=index"]
    changed = loading.change(KNOWN, changes, Forecast, where="a model")
    assert changed == params_of(
        Forecast, value_range=(0.0, 14.0), missing_value=255, pixel_values="index"
    )


@pytest.mark.parametrize("text", ["nan", "NaN", ".nan", "[nan]", "['nan']"])
def test_a_missing_value_may_be_nan_in_any_spelling(text: str, tmp_path: Path) -> None:
    """In -S, in a params.yaml that DVC has changed, and typed into params.yaml by hand."""
    changed = loading.change(KNOWN, [f"missing_value={text}"], Forecast, where="a model")
    assert repr(changed.missing_value) == "(nan,)"
    for value in (overrides.value(text), text):
        if not isinstance(value, str) or "[" not in value:
            write_params(tmp_path, missing_value=value)
            assert repr(check_all(tmp_path / "params.yaml").missing_value) == "(nan,)"


def test_a_change_in_quotes_is_a_text() -> None:
    changed = loading.change(KNOWN, ["time_format='%Y%m%d=%H'"], Forecast, where="a model")
    assert changed.time_format == "%Y%m%d=%H"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("lr=1", "-S lr=1: give key=value, with a key of ['value_range', "),
        ("pixel_values", "-S pixel_values: give key=value, with a key of "),
        ("value_range=[1", "-S value_range=[1: a list does not end with ]; in quotes it is a text"),
        ("value_range=[2,1]", "a model: value_range = [2, 1]: the first number must be"),
        (
            "raw_dataset=a (b)",
            "-S raw_dataset=a (b): there is '(' in it; in quotes it is a text: "
            "-S 'raw_dataset='\"'\"'a (b)'\"'\"''",
        ),
    ],
)
def test_a_change_of_another_kind_is_refused(change: str, words: str) -> None:
    with pytest.raises(BadInput) as raised:
        loading.change(KNOWN, [change], Forecast, where="a model")
    assert str(raised.value).startswith(words)


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
        params = loading.check(given_values, Params, where="params.yaml")
    except BadInput as error:
        for line in str(error).splitlines():
            assert re.match(rf"params\.yaml: ({'|'.join(KEYS)})\b", line), line
    else:
        again = loading.check(params.model_dump(), Params, where="params.yaml")
        assert repr(again) == repr(params)  # a value means the same when it is given again
