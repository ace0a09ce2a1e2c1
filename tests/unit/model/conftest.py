"""A small network, frames for it and choices of fed steps, which the tests of this room share.

A test that parametrizes `cell`, `shape` or `dtype` gets them made of that.
"""

from typing import Literal, NamedTuple

import pytest
import torch
from torch import Tensor

from convlstm.model.network import Architecture, Network

CELLS = ("convlstm", "peephole", "lstm")
CONTEXT, STEPS = 3, 6
CellName = Literal["convlstm", "peephole", "lstm"]


class Shape(NamedTuple):
    """The size of a batch and of a network."""

    batch: int
    channels: int
    rows: int
    cols: int
    hidden: tuple[int, ...]
    kernel: int


@pytest.fixture
def cell() -> CellName:
    return "convlstm"


@pytest.fixture
def shape() -> Shape:
    return Shape(2, 4, 5, 6, hidden=(3, 2), kernel=3)


@pytest.fixture
def dtype() -> torch.dtype:
    return torch.float32


@pytest.fixture
def network(cell: CellName, shape: Shape, dtype: torch.dtype) -> Network:
    """Untrained, with random peepholes: at zero, where they start, they would hide a fault."""
    torch.manual_seed(0)
    sizes = (shape.channels, shape.rows, shape.cols)
    made = Network(Architecture(cell, shape.hidden, shape.kernel, *sizes))
    for name, weight in made.named_parameters():
        if "peephole" in name:
            torch.nn.init.normal_(weight)
    return made.to(dtype)


@pytest.fixture
def frames(shape: Shape, dtype: torch.dtype) -> Tensor:
    """A frame for each step, and one more, which the last step forecasts."""
    generator = torch.Generator().manual_seed(1)
    size = (shape.batch, STEPS + 1, shape.channels, shape.rows, shape.cols)
    return torch.rand(size, generator=generator, dtype=dtype)


@pytest.fixture
def fed(shape: Shape) -> dict[str, Tensor]:
    """True frames at all steps, in the context, or anywhere, as `sampling: reverse` draws them."""
    generator = torch.Generator().manual_seed(2)
    random = torch.rand(shape.batch, STEPS, generator=generator) < 0.5
    random[:, 0] = True
    return {
        "all": torch.ones(shape.batch, STEPS, dtype=torch.bool),
        "context": (torch.arange(STEPS) < CONTEXT).repeat(shape.batch, 1),
        "random": random,
    }
