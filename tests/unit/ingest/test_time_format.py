"""A name is read as the time that it tells and as no other; what does not exist is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from convlstm.ingest.time_format import EPOCH, fault, time_format


def parsed(name: str, text: str) -> datetime:
    return EPOCH + timedelta(microseconds=time_format(text).parse(name))


@pytest.mark.parametrize(
    ("name", "text", "moment"),
    [
        ("RAD_NL25_RAP_5min_201008260035.h5", "RAD_NL25_RAP_5min_%Y%m%d%H%M", "2010-08-26T00:35"),
        # 2015, day 135 = 15 May, 15:45; a flag follows
        ("AQC151351545F_00005.801.gif", "AQC%y%j%H%M", "2015-05-15T15:45"),
        ("2020-01-02T03:04:05.png", "%Y-%m-%dT%H:%M:%S.png", "2020-01-02T03:04:05"),
        ("2020-01-02 03+0200.png", "%Y-%m-%d %H%z", "2020-01-02T01:00"),
        ("20200102T030405.25Z", "%Y%m%dT%H%M%S.%f%z", "2020-01-02T03:04:05.25"),
        ("r_2020-01-02_03:04:05.123456789.npy", "r_%F_%T.%f", "2020-01-02T03:04:05.123456"),
        ("rad_20200102.PNG", "RAD_%Y%m%d", "2020-01-02T00:00"),
        ("cloud_7.png", "cloud_%m", "1900-07-01T00:00"),
        ("2020-1-2 3.png", "%Y-%m-%d %H", "2020-01-02T03:00"),
        ("202001020304059.png", "%Y%m%d%H%M", "2020-01-02T03:04"),  # what follows is not asked for
        ("02JAN2020-0100PM", "%d%b%Y-%I%M%p", "2020-01-02T13:00"),
        ("Thu-20200102", "%a-%Y%m%d", "2020-01-02T00:00"),
        ("2020-W05-3", "%G-W%V-%u", "2020-01-29T00:00"),  # date -d 2020-01-29 +%G-W%V-%u
        ("1577836800.png", "%s", "2020-01-01T00:00"),  # date -u -d @1577836800
        ("1577836800250.png", "%s%f", "2020-01-01T00:00:00.25"),
        ("t-0.5", "t%s.%f", "1969-12-31T23:59:59.5"),
    ],
)
def test_the_time_with_which_a_name_begins_is_read(name: str, text: str, moment: str) -> None:
    assert parsed(name, text) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "text", "day"),
    [
        ("PP_2020060224.png", "PP_%Y%m%d%H", 3),
        ("20200602T240000", "%Y%m%dT%H%M%S", 3),
        ("20200630-2400", "%Y%m%d-%H%M", 31),
    ],
)
def test_hour_24_is_hour_0_of_the_next_day(name: str, text: str, day: int) -> None:
    assert parsed(name, text) == datetime(2020, 6, 1, tzinfo=UTC) + timedelta(days=day - 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PP_2020060125.png", "PP_%Y%m%d%H"),
        ("20200601-2401", "%Y%m%d-%H%M"),
        ("2020130112", "%Y%m%d%H"),
        ("20201301112", "%Y%m%d%f"),  # strptime: month 1, day 30
        ("2020010112605", "%Y%m%d%H%M"),  # strptime: minute 6
        ("20210229", "%Y%m%d"),
        ("2021-366", "%Y-%j"),
        ("2020-01-01T23:59:60", "%Y-%m-%dT%H:%M:%S"),
        ("Mon-20200102", "%a-%Y%m%d"),  # was a Thursday
        ("2020-05", "%Y-%W"),  # strptime: the first of January, whatever the week
        ("20200101PM", "%Y%m%d%p"),
        ("1577836800000.png", "%s"),  # milliseconds
        ("99991231-24", "%Y%m%d-%H"),
    ],
)
def test_a_time_that_does_not_exist_is_refused_with_what_was_read(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^no time is %. = "):
        time_format(text).parse(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("frame.png", "AQC%y%j%H%M"),
        ("", "AQC%y%j%H%M"),
        ("RAD_20100826.h5", "RAD_%Y%m%d%H%M"),
        ("2020112.png", "%Y%m%d"),  # 1 December, or 2 November
        ("20201.png", "%Y%m"),
        ("7-205", "%m-%Y"),
        ("cloud_123_4", "cloud_%m_%d"),
        ("\N{ARABIC-INDIC DIGIT THREE}.png", "%H"),
        ("20200101T0000CET", "%Y%m%dT%H%M%Z"),
    ],
)
def test_another_name_does_not_match(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^the name does not match it$"):
        time_format(text).parse(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("%Y%Y", "%Y stands in it twice"),
        ("%F %Y", "%Y stands in it twice"),
        ("%Q", "%Q is no directive"),
        ("%Y%", "% is no directive"),
        ("%c", "%c is no directive"),
        ("frame", "there is no time in it"),
        ("", "there is no time in it"),
        ("%p", "there is no time in it"),
        ("100%%", "there is no time in it"),
        ("%Y%m%d%I", "%I counts to 12"),
        ("%Y%s", "%s is the whole time"),
    ],
)
def test_a_format_of_which_no_one_time_can_be_told_is_refused(text: str, words: str) -> None:
    assert str(fault(text)).startswith(f"time_format = {text!r}: {words}")


def test_a_right_format_has_no_fault() -> None:
    assert fault(None) is None
    assert fault("RAD_%Y%m%d%H%M") is None


@pytest.mark.parametrize(
    ("text", "dated"),
    [
        *((text, True) for text in ("%Y%m%d%H", "%y%j", "%s", "%Y", "%G%V%u")),
        *((text, False) for text in ("%H%M", "%m%d", "%Y-%d", "%Y%m%d-%M")),
    ],
)
def test_a_time_is_dated_if_it_has_its_year_and_no_hole(text: str, dated: bool) -> None:
    assert time_format(text).dated is dated


FORMATS = [
    "%Y%m%d%H%M%S.%f",
    "RAD_%y%j_%H%M%S-%f",
    "%d %b %Y, %I:%M:%S.%f %p",
    "%A %B %d %Y %H%M%S%f",
    "%s.%f",
    "%s%f",
    "%FT%T.%f%z",
    "%G-%V-%u %T.%f",
    "x%%%U %w %Y %R %S.%f",
]
MOMENTS = st.datetimes(datetime(2001, 9, 10), datetime(2068, 12, 31))  # %y ends in 2068


@given(MOMENTS, st.sampled_from(FORMATS), st.sampled_from(["", ".png", "_F.h5", "Z"]))
@example(datetime(2001, 9, 9, 1, 46, 40), "%s%f", "")  # the first second of ten digits
def test_the_name_of_a_time_is_read_as_that_time(moment: datetime, text: str, rest: str) -> None:
    time = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    name = time_format(text).name(time)
    assert time_format(text).parse(name + rest) == time


@given(
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["%Y%m%d%H", "%Y-%m-%d %H", "%Y%m%d%H.png"]),
)
def test_each_number_is_the_one_that_stands_in_the_name_or_the_name_is_refused(
    month: int, day: int, hour: int, text: str
) -> None:
    name = f"2020{month:02d}{day:02d}{hour:02d}.png"
    name = f"2020-{month:02d}-{day:02d} {hour:02d}" if "-" in text else name
    try:
        expected = datetime(2020, month, day, hour % 24, tzinfo=UTC) + timedelta(days=hour // 24)
        valid = hour <= 24
    except ValueError:
        valid = False
    if valid:
        assert parsed(name, text) == expected
    else:
        with pytest.raises(ValueError, match=r"^no time is"):
            time_format(text).parse(name)
