"""Names sort as the numbers in them count, in whatever style they are written; a doubt is told."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.ingest import natural

STYLES: dict[str, Callable[[int], str]] = {
    "plain": lambda n: f"frame{n}",
    "padded": lambda n: f"frame_{n:04d}",
    "after a minus that separates": lambda n: f"frame-{n}",
    "in brackets": lambda n: f"rain ({n})",
    "before words": lambda n: f"{n}_of_rain2020",
    "two numbers": lambda n: f"cam{n // 24}_{n % 24}",
    "a section number": lambda n: f"cam{n // 24}.{n % 24}",
    "date and hour": lambda n: f"v{n // 672 + 2000}-{n // 24 % 28 + 1:02d}-02T{n % 24:02d}",
    "day.month.year": lambda n: f"v{n // 28 % 12 + 1}.{n % 28 + 1}.2020",
    "quarters": lambda n: f"vort_{n * 0.25:g}",
    "twentieths": lambda n: f"vort_{n * 0.05:g}",
    "tenths as floats": lambda n: f"{n * 0.1}",
    "twentieths of two digits": lambda n: f"t{n * 0.05:.2f}h",
    "very small": lambda n: f"t_{n * 1e-5:g}",
    "behind a version": lambda n: f"v1.0.{n * 0.125:g}",
    "behind a fixed decimal": lambda n: f"lat1.50_t{n * 0.125:g}",
    "hexadecimal": lambda n: f"frame_{n:04x}",
    "hexadecimal, large letters": lambda n: f"FRAME{n:03X}end",
    "hexadecimal, without zeros": lambda n: f"frame_{n:x}",
    "hexadecimal, prefixed": lambda n: f"0x{n:02x}",
}
SIGNED: dict[str, Callable[[int], str]] = {
    "alone": lambda n: f"{n}",
    "after a separator": lambda n: f"t_{n}",
    "after an equals sign": lambda n: f"step={n}_x",
    "after a minus": lambda n: f"t-{n}" if n < 0 else f"t--{n}".replace("--", "-+"),
    "with a plus": lambda n: f"{n:+d}",
    "after a letter": lambda n: f"t{n}",
    "after a letter, with a plus": lambda n: f"T{n:+04d}",
    "quarters": lambda n: f"t{n * 0.25:g}",
    "quarters after a separator": lambda n: f"lat_{n * 0.25:g}_x1",
}


def sorted_names(names: list[str]) -> list[str]:
    found = natural.order(names)
    assert (found.twins, found.doubt) == ([], None)
    return [names[position] for position in found.positions]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(STYLES)),
    st.integers(0, 90),
    st.integers(30, 200),
    st.randoms(use_true_random=False),
)
def test_names_of_a_run_sort_as_their_numbers(
    style: str, start: int, count: int, random: object
) -> None:
    expected = [STYLES[style](number) for number in range(start, start + count)]
    mixed = expected.copy()
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert sorted_names(mixed) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(SIGNED)),
    st.integers(-40, -1),
    st.integers(0, 40),
    st.randoms(use_true_random=False),
)
def test_names_with_signs_sort_as_their_numbers(
    style: str, first: int, last: int, random: object
) -> None:
    expected = [SIGNED[style](number) for number in range(first, last + 1)]
    mixed = expected.copy()
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert sorted_names(mixed) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=20, unique_by=str.casefold))
def test_any_names_have_an_order_that_does_not_depend_on_how_they_come(names: list[str]) -> None:
    found = natural.order(names)
    assert sorted(found.positions) == list(range(len(names)))
    if not found.twins:
        turned = natural.order(names[::-1])
        assert [names[::-1][p] for p in turned.positions] == [names[p] for p in found.positions]
        assert (turned.doubt is None) == (found.doubt is None)


@pytest.mark.parametrize(
    "names",
    [
        ["-3", "-2", "-1"],
        ["2020-01-01", "2020-01-02", "2020-01-10"],
        ["1.2.2020", "2.2.2020", "10.2.2020"],
        ["2020.1.2", "2020.1.9", "2020.1.10"],
        ["1.8", "1.9", "1.10", "1.11"],
        ["0.25", "0.5", "0.75"],
        ["0.5", "0.75", "1.0", "1.25"],
        ["take1a", "take1b", "take2a"],
        ["day9", "day10", "雲 2", "雲 10"],
        ["1_x", "2", "10 y"],
    ],
)
def test_a_few_names_sort_as_people_count(names: list[str]) -> None:
    assert sorted_names(names[::-1]) == names


@pytest.mark.parametrize("names", [["a1", "a01"], ["x0.5", "x00.5"], ["A", "a"]])
def test_names_that_count_the_same_are_told(names: list[str]) -> None:
    assert natural.order(names).twins == [(0, 1)]


@pytest.mark.parametrize(
    "names",
    [
        ["0.5", "0.25"],
        ["10.25", "10.5", "11.25", "11.5"],
        ["take1a", "take10", "take11"],
        ["3f9a", "04bc", "99e1", "7a07", "7aff"],  # hashes
    ],
)
def test_names_that_sort_in_two_ways_are_told(names: list[str]) -> None:
    found = natural.order(names)
    assert found.doubt is not None
    assert set(found.doubt) <= set(names)
