"""Ranks share a batch as if one process had all of it: windows, sums, weights, and the end."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from convlstm.model.batches import Batches
from convlstm.model.ranks import ALONE, Ranks
from convlstm.runtime.errors import RankLost
from convlstm.runtime.signals import Stopped, StopRequest
from convlstm.train.checkpoint import Checkpoints
from convlstm.train.loop import Training
from convlstm.train.losses import masked_crps, masked_mae, masked_mse, masked_weighted
from convlstm.train.params import Train
from tests.builders import REPORT, params_of
from tests.threads import in_threads

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"hidden_channels": (4,), "batch_size": 4, "precision": "float32"}
CASES: dict[str, dict[str, Any]] = {
    "cascade": {"epochs": 2, "augment": "turns"},
    "motion": {"epochs": 2, "readout": "motion", "members": 1, "loss": "mae"},
    "frame": REPORT | {"epochs": 2, "sampling": "reverse", "random_windows": True},
    "weighted": REPORT | {"steps": 5, "epochs": None, "loss": "weighted", "cell": "peephole"},
    "lstm": REPORT | {"epochs": 2, "cell": "lstm"},
}


def new(batches: Batches, **changes: Any) -> Training:
    return Training(batches, params_of(Train, **SMALL | changes), CPU)


def shared(training: Training, ranks: Ranks) -> Training:
    """Give a training its place; in threads all are built before, for they have one seed."""
    training.ranks = training.drawing.ranks = ranks
    training.objective.total = ranks.total
    return training


def finish(training: Training) -> Training:
    assert list(training.epochs(lambda _: None))
    return training


@pytest.mark.parametrize(
    ("count", "windows", "places"),
    [
        (1, 5, [[0, 1, 2, 3, 4]]),
        (2, 4, [[0, 1], [2, 3]]),
        (2, 3, [[0], [1, 2]]),
        (4, 4, [[0], [1], [2], [3]]),
        (3, 2, [[0], [0], [1]]),  # of which the first counts nothing
    ],
)
def test_the_windows_of_a_batch_are_dealt_to_the_ranks(
    count: int, windows: int, places: list[list[int]]
) -> None:
    ranks = [Ranks(number, count) for number in range(count)]
    assert [[*range(windows)][own.places(windows)] for own in ranks] == places
    counted = [own.places(windows) for own in ranks if not own.is_spare(windows)]
    assert sorted(n for own in counted for n in [*range(windows)][own]) == [*range(windows)]


@pytest.mark.parametrize("loss", ["mse", "mae", "weighted", "crps"])
def test_the_losses_of_the_parts_of_a_batch_add_up_to_that_of_the_whole(loss: str) -> None:
    """The parts are unlike: of the first a hundredth is measured, of the last nearly all."""
    generator = torch.Generator().manual_seed(0)
    shape = (4, 3, 1, 20, 20)
    truth, noise = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = noise < torch.tensor([0.01, 0.2, 0.5, 0.99])[:, None, None, None, None]
    forecast = torch.rand((2, *shape), generator=generator, dtype=torch.float64, requires_grad=True)

    def of(part: slice, total: Callable[[Tensor], Tensor]) -> Tensor:
        members, own, measured = forecast[:, part], truth[part], mask[part]
        limits = {
            "thresholds": torch.tensor([[0.3, 0.6]], dtype=torch.float64),
            "weights": torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64),
        }
        match loss:
            case "crps":
                return masked_crps(members, own, measured, 0.95, total)
            case "weighted":
                flat = (members[0].flatten(0, 1), own.flatten(0, 1), measured.flatten(0, 1))
                return masked_weighted(*flat, total, **limits)
        return {"mse": masked_mse, "mae": masked_mae}[loss](members[0], own, measured, total)

    def part_of(ranks: Ranks) -> Tensor:
        return of(ranks.places(4), ranks.total)

    (whole,) = torch.autograd.grad(of(slice(0, 4), lambda count: count), forecast)
    parts = [part for part in in_threads(4, part_of) if isinstance(part, Tensor)]
    assert sum(part.item() for part in parts) == pytest.approx(
        of(slice(0, 4), lambda count: count).item(), rel=1e-12
    )
    (summed,) = torch.autograd.grad(torch.stack(parts).sum(), forecast)
    torch.testing.assert_close(summed, whole, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", [2, 4])
def test_ranks_end_with_the_weights_and_rows_of_one_process(
    batches: Batches, case: str, count: int
) -> None:
    """The last of ten windows make a batch of two, in which some of four ranks have none."""
    batches.index["train"] = batches.index["train"][:10]
    alone = finish(new(batches, **CASES[case]))
    built = [new(batches, **CASES[case]) for _ in range(count)]
    ended = in_threads(count, lambda ranks: finish(shared(built[ranks.number], ranks)))
    for one in ended:
        assert isinstance(one, Training), one
        for name, weight in alone.model.network.state_dict().items():
            own = one.model.network.state_dict()[name]
            torch.testing.assert_close(own, weight, rtol=0, atol=1e-5, msg=name)
        for epoch, expected in zip(one.finished, alone.finished, strict=True):
            assert epoch.row() == pytest.approx(expected.row(), rel=1e-4)


def test_ranks_hold_the_same_bits_after_each_step(batches: Batches) -> None:
    """Also where one was built with other weights than the first, which all follow."""
    built = [new(batches, seed=seed, steps=6, epochs=None) for seed in (0, 1)]

    def steps(ranks: Ranks) -> list[list[float]]:
        training, seen = shared(built[ranks.number], ranks), list[list[float]]()
        training.follow_first()
        for _ in training.epochs(
            lambda _: seen.append(
                torch.cat([w.flatten() for w in training.network.parameters()]).tolist()
            )
        ):
            pass
        return seen

    first, second = in_threads(2, steps)
    assert isinstance(first, list)
    assert len(first) == 6
    assert first == second


def test_a_gradient_that_is_no_number_on_one_rank_is_left_out_by_all(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(forecast: Tensor, truth: Tensor, mask: Tensor, total: Any) -> Tensor:
        loss = masked_mse(forecast, truth, mask, total)
        return loss * float("nan") if total.__self__.number == 1 else loss

    built = [
        new(batches, **REPORT | {"steps": 2, "max_skipped_steps": 2, "epochs": None}) for _ in "ab"
    ]
    before = [weight.clone() for weight in built[0].network.parameters()]
    monkeypatch.setattr("convlstm.train.objective.masked_mse", spoilt)
    ended = in_threads(2, lambda ranks: finish(shared(built[ranks.number], ranks)).skipped)
    assert ended == [2, 2]
    for training in built:
        for weight, old in zip(training.network.parameters(), before, strict=True):
            assert torch.equal(weight, old)


class Ticking:
    """A clock of one rank, which goes at a pace of its own."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds

    def monotonic(self) -> float:
        """Return the time in seconds."""
        self.now += self.seconds
        return self.now


def test_a_budget_in_minutes_is_that_of_the_first_rank(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second clock goes ten times as fast, and would end after fewer steps."""
    built = []
    for seconds in (1.0, 10.0):
        monkeypatch.setattr("convlstm.train.budget.time", Ticking(seconds))
        built.append(new(batches, epochs=None, minutes=0.2))
    clocks = {threading.get_ident(): Ticking(1.0)}

    class Each:
        def monotonic(self) -> float:
            """Return the time of the rank whose thread asks."""
            return clocks[threading.get_ident()].monotonic()

    def finished(ranks: Ranks) -> tuple[int, float]:
        clocks[threading.get_ident()] = Ticking((1.0, 10.0)[ranks.number])
        training = finish(shared(built[ranks.number], ranks))
        return training.iteration, training.budget.seconds

    monkeypatch.setattr("convlstm.train.budget.time", Each())
    first, second = in_threads(2, finished)
    assert first == second
    assert isinstance(first, tuple)
    assert first[0] > 5


def test_when_one_rank_is_asked_to_stop_all_stop_after_the_same_step_and_the_first_saves(
    batches: Batches, tmp_path: Path
) -> None:
    built = [new(batches, epochs=4) for _ in "ab"]

    def stopped(ranks: Ranks) -> tuple[int, int]:
        training = shared(built[ranks.number], ranks)
        checkpoints = Checkpoints(tmp_path, training.identity(), every_minutes=99.0)
        stop = StopRequest()

        def on_step(_: float) -> None:
            if ranks.number == 1 and training.iteration == 3:
                stop.signal_number = 15

        with pytest.raises(Stopped) as raised:
            list(checkpoints.epochs(training, stop, on_step))
        return training.iteration, raised.value.status

    assert in_threads(2, stopped) == [(3, 143), (3, 143)]
    assert [path.name for path in tmp_path.glob("*/*")] == ["000000003.pt"]


def test_the_sums_of_validation_are_added_up_to_the_last_bit_but_one() -> None:
    own = [np.array([[1e16, 2.0]]), np.array([1.0, 0.5, 0.25])]
    both = in_threads(2, lambda ranks: ranks.sums(*(part * (1 + ranks.number) for part in own)))
    for sums in both:
        assert isinstance(sums, list)
        np.testing.assert_array_equal(sums[0], [[3e16, 6.0]])
        np.testing.assert_array_equal(sums[1], [3.0, 1.5, 0.75])


def test_alone_nothing_is_sent(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.distributed, "all_reduce")
    monkeypatch.delattr(torch.distributed, "broadcast")
    training = finish(new(batches, steps=2, epochs=None))
    assert training.ranks is ALONE
    training.follow_first()


def test_a_rank_that_is_missed_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise RuntimeError("[pair.cc:5] Connection closed by peer\nand much more")

    monkeypatch.setattr(torch.distributed, "all_reduce", closed)
    with pytest.raises(RankLost) as raised:
        Ranks(0, 2).most(1)
    assert str(raised.value) == (
        "another rank of this run has ended, or is not reached ([pair.cc:5] Connection closed by "
        "peer); the same command begins again, or goes on from the last checkpoint"
    )
    assert raised.value.status == 1


def test_the_identity_of_a_run_does_not_depend_on_its_ranks(batches: Batches) -> None:
    one = new(batches)
    assert one.identity() == shared(new(batches), Ranks(1, 2)).identity()
