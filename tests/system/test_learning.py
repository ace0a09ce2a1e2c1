"""The shipped network learns with every seed, and not by luck."""

from pathlib import Path

import pytest
import torch

from convlstm.demo import rain
from convlstm.model.batches import Batches
from convlstm.storage import patches as patches_h5
from convlstm.train.loop import Training
from convlstm.train.params import Train
from tests.builders import params_of, patches_of

pytestmark = pytest.mark.slow

LEAST_SHARE = 5e-4
"""With the fault that NOTES of 2026-11-27 tells, whose gates shut for good, these seeds came to
9e-6 and 9e-5; without it to 2.5e-3 and 4e-3."""


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build patches of the demo, of 64 x 64 pixels."""
    sequences = {
        f"{index:03d}": rain.sequence(frames=20, size=64, seed=0, index=index)[:, None]
        for index in range(22)
    }
    return patches_of(tmp_path_factory.mktemp("small demo"), sequences)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_still_reaches_the_lowest_cell_after_48_steps(
    patches: Path, seed: int
) -> None:
    shares = []
    with patches_h5.opened(patches, patches.with_name("frames")) as stored:
        batches = Batches(stored, repeated=True)
        training = Training(batches, params_of(Train, seed=seed, epochs=12), torch.device("cpu"))

        def note(_: float) -> None:
            norms = {
                name: float(weight.grad.norm())
                for name, weight in training.network.named_parameters()
                if weight.grad is not None
            }
            lowest = max(norm for name, norm in norms.items() if name.startswith("cells.0."))
            shares.append(lowest / sum(norm**2 for norm in norms.values()) ** 0.5)

        list(training.epochs(note))
    assert len(shares) == 48
    assert sorted(shares[-8:])[4] > LEAST_SHARE
