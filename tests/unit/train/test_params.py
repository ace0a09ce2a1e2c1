"""Values that do not go together are refused with a line that names them and what to set."""

import pytest

from convlstm.train.params import Train
from tests.builders import faults_of, params_of


@pytest.mark.parametrize("size", [2, 4, 100])
def test_an_even_kernel_is_refused(size: int) -> None:
    assert faults_of(Train, kernel_size=size) == [
        f"here: kernel_size = {size}: must be odd, so that a frame keeps its size"
    ]


@pytest.mark.parametrize("size", [1, 3, 101])
def test_an_odd_kernel_is_taken(size: int) -> None:
    assert params_of(Train, kernel_size=size).kernel_size == size


@pytest.mark.parametrize("start", [62.5, 70])
def test_reverse_sampling_that_ends_when_it_starts_is_refused(start: float) -> None:
    assert faults_of(Train, sampling_reverse_start_percent=start) == [
        f"here: sampling_reverse_start_percent = {start}: must be below the end, 62.5"
    ]


def test_both_rules_are_reported_at_once() -> None:
    assert len(faults_of(Train, kernel_size=4, sampling_reverse_start_percent=70)) == 2


@pytest.mark.parametrize(
    "changes",
    [{"hidden_channels": []}, {"hidden_channels": [0]}, {"lr": 0}, {"gradient_clip": 0}],
)
def test_a_network_or_a_step_of_nothing_is_refused(changes: dict[str, object]) -> None:
    (line,) = faults_of(Train, **changes)
    assert line.startswith(f"here: {next(iter(changes))} = ")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"members": 2, "loss": "crps", "readout": "frame"},
            "members = 2: readout = 'frame' has no noise; set members to 1",
        ),
        (
            {"members": 2, "loss": "mse", "readout": "cascade"},
            "loss = 'mse': with members = 2; set loss to crps, or members to 1",
        ),
        (
            {"members": 1, "loss": "crps", "readout": "cascade"},
            "loss = 'crps': with members = 1; set members to 2",
        ),
        ({"cascade_scales": (3.0, 2.0)}, "cascade_scales = [3.0, 2.0]: must ascend"),
        ({"loss_thresholds": (2.0, 1.0, 3.0, 4.0)}, "= [2.0, 1.0, 3.0, 4.0]: must ascend"),
        (
            {"loss_thresholds": (2.0,)},
            "loss_weights = [1.0, 2.0, 5.0, 10.0, 30.0]: must be 2 numbers, one more",
        ),
    ],
)
def test_choices_that_do_not_go_together_are_refused(changes: dict[str, object], line: str) -> None:
    assert any(line in fault for fault in faults_of(Train, **changes))


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"steps": 1000}, "epochs = 36, steps = 1000, minutes = null"),
        ({"epochs": None}, "epochs = null, steps = null, minutes = null"),
        ({"epochs": None, "steps": 9, "minutes": 1.5}, "epochs = null, steps = 9, minutes = 1.5"),
    ],
)
def test_a_run_has_one_limit(changes: dict[str, object], shown: str) -> None:
    line = f"here: {shown}: exactly one must be set; set the others to null"
    assert faults_of(Train, **changes) == [line]


@pytest.mark.parametrize("limit", [{"epochs": 1}, {"steps": 1}, {"minutes": 0.5}])
def test_each_limit_can_be_the_one(limit: dict[str, object]) -> None:
    others: dict[str, object] = {"epochs": None, "steps": None, "minutes": None}
    assert params_of(Train, **others | limit)
