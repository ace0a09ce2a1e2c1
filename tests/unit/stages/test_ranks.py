"""A process knows its place among the ranks, how many to start, and who of them speaks."""

import os

import pytest

from convlstm.runtime import exits, signals
from convlstm.runtime.errors import BadInput, NoRoom, UserError
from stages import launch, ranks
from stages.ranks import Place

STEP = {
    "SLURM_JOB_ID": "4711",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_ID": "2",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NODELIST": "gpu[03-04,7],big1",
}
MEETING = {"MASTER_ADDR": "localhost", "MASTER_PORT": "1234"}
BATCH_SCRIPT = {"SLURM_JOB_ID": "4711", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no rank wait for the first one to speak."""
    monkeypatch.setattr(ranks, "SECONDS_TO_SPEAK", 0)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment without a launcher, which is as it was after the test."""
    usual = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "MASTER_", "CONVLSTM_"))
        and name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    }
    monkeypatch.setattr(os, "environ", usual)
    return usual


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Place(3, 8, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8"}, Place(3, 8, 0)),
        (STEP, Place(5, 8, 1)),
        (STEP | {"SLURM_STEP_NUM_TASKS": "1"}, None),  # it may start ranks itself
        (BATCH_SCRIPT, None),  # the tasks are those of a step that is still to come
        (STEP | {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, Place(0, 2, 0)),
    ],
)
def test_the_place_is_what_the_launcher_says(
    environment: dict[str, str], variables: dict[str, str], expected: Place | None
) -> None:
    environment.update(MEETING | variables)
    assert ranks.place() == expected
    assert ranks.place() == expected  # and stays so


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"RANK": "2"}, "RANK = 2: must be less than WORLD_SIZE = 2"),
        ({"RANK": "x"}, "RANK = 'x': must be a whole number"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR: is not set; it is the host of rank 0, "),
        ({"MASTER_PORT": ""}, "MASTER_PORT = '': must be a whole number"),
        ({"MASTER_PORT": "x"}, "MASTER_PORT = 'x': must be a whole number"),
    ],
)
def test_what_a_launcher_has_left_out_is_named(
    environment: dict[str, str], variables: dict[str, str], line: str
) -> None:
    environment.update({"RANK": "0", "WORLD_SIZE": "2"} | MEETING | variables)
    with pytest.raises(BadInput, match=line):
        ranks.place()


def test_one_rank_meets_nobody(environment: dict[str, str]) -> None:
    environment.update({"RANK": "0", "WORLD_SIZE": "1"})
    assert ranks.place() == ranks.ALONE


def test_the_ranks_of_srun_meet_at_the_first_host_at_a_port_of_their_step(
    environment: dict[str, str],
) -> None:
    environment.update(STEP)
    ranks.place()
    assert environment["MASTER_ADDR"] == "gpu03"
    assert environment["MASTER_PORT"] == str(20_000 + 4711 + 2)


def test_where_the_ranks_of_srun_meet_may_be_said(environment: dict[str, str]) -> None:
    environment.update(STEP | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1234"})
    ranks.place()
    assert (environment["MASTER_ADDR"], environment["MASTER_PORT"]) == ("10.0.0.1", "1234")


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[03-04,7],big1", "gpu03"),
        ("gpu7", "gpu7"),
        ("a,b", "a"),
        ("rack[2]-n,x", "rack2-n"),
        ("n-1-[007]", "n-1-007"),
    ],
)
def test_the_first_host_of_a_short_list(nodes: str, first: str) -> None:
    assert ranks.first_host(nodes) == first


@pytest.mark.parametrize("text", ["", "two", "-1", "1.5"])
def test_a_variable_that_is_no_number_is_refused(environment: dict[str, str], text: str) -> None:
    environment["CONVLSTM_RANKS"] = text
    with pytest.raises(BadInput, match=f"CONVLSTM_RANKS = '{text}': must be a whole number"):
        ranks.wanted(4, devices=1)


@pytest.mark.parametrize(
    ("batch_size", "devices", "count"),
    [(4, 0, 1), (4, 1, 1), (4, 2, 2), (4, 3, 2), (4, 8, 4), (6, 8, 6), (5, 4, 1)],
)
def test_as_many_devices_work_as_share_a_batch_evenly(
    batch_size: int, devices: int, count: int
) -> None:
    assert ranks.wanted(batch_size, devices) == count


@pytest.mark.parametrize(
    ("parts", "devices", "count"), [(2, 0, 1), (2, 1, 1), (2, 8, 2), (100, 8, 8), (0, 4, 1)]
)
def test_each_device_that_has_a_part_of_the_work_takes_it(
    parts: int, devices: int, count: int
) -> None:
    assert ranks.wanted_of(parts, devices) == count


def test_any_number_of_ranks_may_share_parts_but_none(environment: dict[str, str]) -> None:
    environment["CONVLSTM_RANKS"] = "3"
    assert ranks.wanted_of(2, devices=1) == 3
    environment["CONVLSTM_RANKS"] = "0"
    with pytest.raises(BadInput, match="CONVLSTM_RANKS = '0': must be at least 1"):
        ranks.wanted_of(2, devices=1)


@pytest.mark.parametrize("text", ["3", "8", "0"])
def test_a_number_that_does_not_share_a_batch_evenly_is_refused(
    environment: dict[str, str], text: str
) -> None:
    environment["CONVLSTM_RANKS"] = text
    with pytest.raises(BadInput, match=f"batch_size = 4: cannot be shared by {text} ranks evenly"):
        ranks.wanted(4, devices=4)


def test_a_number_that_is_given_goes_before_that_of_the_devices(
    environment: dict[str, str],
) -> None:
    environment["CONVLSTM_RANKS"] = "2"
    assert ranks.wanted(4, devices=8) == 2


@pytest.mark.parametrize(
    ("local", "error", "told"),
    [
        ("0", BadInput("wrong"), "wrong"),
        ("1", BadInput("wrong"), ""),
        ("1", NoRoom("the second GPU is full"), "the second GPU is full"),
    ],
)
def test_what_all_ranks_of_a_host_meet_one_tells_and_all_end_with_its_status(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    local: str,
    error: UserError,
    told: str,
) -> None:
    monkeypatch.setattr(signals, "hear_nothing", lambda: None)
    environment.update({"RANK": local, "WORLD_SIZE": "2", "LOCAL_RANK": local} | MEETING)
    with pytest.raises(UserError) as raised, ranks.one_voice():
        raise error
    assert (str(raised.value), raised.value.status) == (told, error.status)


@pytest.mark.parametrize(("local", "kind"), [("0", signals.Stopped), ("1", UserError)])
def test_a_stop_is_told_by_one_rank_too(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    local: str,
    kind: type[signals.Stopped | UserError],
) -> None:
    monkeypatch.setattr(signals, "hear_nothing", lambda: None)
    environment.update({"RANK": local, "WORLD_SIZE": "2", "LOCAL_RANK": local} | MEETING)
    with pytest.raises(kind) as raised, ranks.one_voice():
        raise signals.Stopped(15)
    assert isinstance(raised.value, signals.Stopped | UserError)
    assert raised.value.status == 143


def test_a_stop_goes_before_what_it_has_led_to(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have ended first, and are missed."""
    monkeypatch.setattr(signals, "hear_nothing", lambda: None)
    monkeypatch.setattr(signals, "requested", lambda: signals.Stopped(2))
    environment.update({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"} | MEETING)
    with pytest.raises(signals.Stopped) as raised, ranks.one_voice():
        raise BadInput("another rank is missed")
    assert raised.value.status == 130


@pytest.mark.parametrize(
    ("variable", "heard"), [("DVC_ROOT", True), ("TORCHELASTIC_RUN_ID", True), ("RANK", False)]
)
def test_a_stage_ends_with_the_process_that_has_started_it(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, variable: str, heard: bool
) -> None:
    calls = []
    for name in ("DVC_ROOT", "TORCHELASTIC_RUN_ID"):
        environment.pop(name, None)
    environment[variable] = "1"
    monkeypatch.setattr(exits, "run", lambda _, child_of_dvc: calls.append(child_of_dvc))
    from convlstm.demo.params import Demo

    launch.start(lambda _: None, Demo)
    assert calls == [heard]
