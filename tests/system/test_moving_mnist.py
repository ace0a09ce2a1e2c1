"""The benchmark on Moving MNIST, with a stand-in for OpenSTL's network."""

import time
from pathlib import Path

import numpy as np
import pytest

from convlstm.demo import digits
from convlstm.train.params import Train
from tests.benchmarks import moving_mnist
from tests.benchmarks.cpu_time import CPUTime
from tests.builders import params_of, patches_of, write_params

STAND_IN = '''
import torch

class ConvLSTM_Model(torch.nn.Module):
    """Each output is the frame that was fed; there is nothing to learn."""

    def __init__(self, layers, hidden, config):
        super().__init__()
        self.known, self.weight = config.pre_seq_length, torch.nn.Parameter(torch.ones(()))

    def forward(self, frames, mask, return_loss):
        outputs, fed = [], frames[:, 0]
        for step in range(frames.shape[1] - 1):
            if step < self.known:
                fed = frames[:, step]
            else:
                true = mask[:, step - self.known]
                fed = true * frames[:, step] + (1 - true) * outputs[-1]
            outputs.append(fed + 0 * self.weight)
        outputs = torch.stack(outputs, dim=1)
        loss = ((outputs - frames[:, 1:]) ** 2).mean() if return_loss else None
        return outputs, loss
'''
DIGITS = np.full((1, 5, 5), 255, np.uint8)
COLUMNS = dict(zip(moving_mnist.COLUMNS, range(len(moving_mnist.COLUMNS)), strict=True))


def film(index: int) -> np.ndarray:
    """Two bright squares of 5 x 5 that bounce in 16 x 16."""
    return digits.sequence(DIGITS, frames=20, size=16, seed=0, index=index)[:, None]


@pytest.fixture
def table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, list[str]]:
    """The cells of each row, of a second of training on six sequences."""
    for name, code in {"modules/convlstm_modules": "", "models/convlstm_model": STAND_IN}.items():
        path = tmp_path / f"openstl/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    films = {f"{index}": film(index) for index in range(6)}
    path = patches_of(tmp_path, films, valid_sequences=["4"], test_sequences=["5"])
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ["--patches", str(path), "--openstl", ".", "--minutes", "0.005"]
    for change in ("readout=frame", "members=1", "loss=mse", "hidden_channels=[3]"):
        words += ["-S", change]
    moving_mnist.compare(moving_mnist.parsed(words))
    lines = capsys.readouterr().out.split("test windows")[1].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {cells[0]: cells for cells in rows[1:]}


def test_both_networks_are_trained_and_scored_beside_persistence_by_hand(
    table: dict[str, list[str]],
) -> None:
    frames = film(5).astype(float) / 255
    by_hand = ((frames[10:] - frames[9]) ** 2).sum() / 10
    mse = {name: float(cells[COLUMNS["MSE"]]) for name, cells in table.items()}
    assert mse["none: persistence"] == pytest.approx(by_hand, abs=0.006)
    assert mse["OpenSTL's"] == mse["none: persistence"]  # as the stand-in is, if no truth leaks
    for name in ("ours", "OpenSTL's"):
        assert int(table[name][COLUMNS["steps"]]) > 1
        assert float(table[name][COLUMNS["per pixel"]]) == pytest.approx(mse[name] / 256, abs=4e-5)


def test_a_budget_of_cpu_time_counts_what_the_process_has_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = iter([10.0, 12.5, 40.0])
    monkeypatch.setattr(time, "process_time", lambda: next(used))
    budget = CPUTime(params_of(Train, epochs=None, minutes=0.5), 1)
    budget.start()
    budget.count_time()
    assert (budget.seconds, budget.is_left(1)) == (2.5, True)
    budget.count_time()
    assert (budget.seconds, budget.is_left(1)) == (30.0, False)
