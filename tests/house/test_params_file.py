"""`-S key=value` changes the lines of one key of params.yaml, and loses no sentence."""

import re
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
SHIPPED = YAML(typ="safe", pure=True).load(TEXT)
VALUES = ("[1,[2,3],4]", "null", "[x,y]", "[]", "1e-05")
"""What a user may try, one after the other."""


def blocks(text: str) -> dict[str, list[str]]:
    """Return the lines from each key to the next one, by key."""
    found: dict[str, list[str]] = {"": []}
    for line in text.splitlines():
        key = re.match(r"\w+(?=:)", line)
        if key:
            found[key[0]] = []
        found[next(reversed(found))].append(line)
    return found


def sentence(block: list[str]) -> list[str]:
    """Return the words of the comments of a key."""
    own = (line for line in block if not line.startswith("# ----"))
    return " ".join(line.partition("#")[2] for line in own).split()


@pytest.mark.parametrize("key", SHIPPED)
def test_set_param_changes_the_lines_of_one_key(key: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT, encoding="utf-8")
    before = blocks(TEXT)
    for value in VALUES:
        apply_overrides(path, [f"{key}={value}"])
        after = blocks(path.read_text(encoding="utf-8"))
        assert sentence(after[key]) == sentence(before[key])
        changed = [name for name in before if after[name] != before[name]]
        assert changed in ([], [key]), value
    assert YAML(typ="safe", pure=True).load(path)[key] == 1e-5


@pytest.mark.parametrize("key", SHIPPED)
def test_every_key_has_a_sentence_that_begins_on_its_line(key: str) -> None:
    block = blocks(TEXT)[key]
    words = sentence(block)
    assert "#" in block[0]
    assert words[-1].endswith(".")


def test_what_is_set_as_it_was_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT, encoding="utf-8")
    apply_overrides(path, [f"lr={SHIPPED['lr']}"])
    assert path.read_text(encoding="utf-8") == TEXT


def test_dvc_freezes_a_stage_by_one_line(tmp_path: Path) -> None:
    """`dvc freeze` and `dvc unfreeze` write dvc.yaml as ruamel.yaml has it."""
    from dvc.utils.serialize import modify_yaml

    path = tmp_path / "dvc.yaml"
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    with modify_yaml(path) as content:
        content["stages"]["train"]["frozen"] = True
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.strip() != "frozen: true"] == text.splitlines()
    with modify_yaml(path) as content:
        del content["stages"]["train"]["frozen"]
    assert path.read_text(encoding="utf-8") == text
