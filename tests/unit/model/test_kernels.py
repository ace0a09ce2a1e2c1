"""The gates in C: as torch computes them, at all values, and None where they cannot be compiled."""

from pathlib import Path

import pytest
import torch

from convlstm.model import kernels
from convlstm.model.kernels import Kernels, compiled

DTYPES = (torch.float32, torch.bfloat16)
VALUES = torch.tensor([0, -0.0, 1e-30, 0.3, -2.5, 17, -17, 90, -90, 3e38, -3e38, torch.inf])
NAN, SIZE = float("nan"), (1, 3, 4)


@pytest.fixture(params=DTYPES, ids=str)
def own(request: pytest.FixtureRequest) -> Kernels:
    """The kernels of one dtype."""
    found = compiled(request.param)
    if found is None:
        pytest.skip("no C compiler")
    return found


def forward(own: Kernels, values: list[torch.Tensor]) -> list[torch.Tensor]:
    """I, F, O, G, C and H, in float64, of pre-activations of I, F, O and G and of a C before."""
    *four, before = [value.reshape(*SIZE, 1) for value in values]
    z = torch.cat(four, dim=-1).to(own.dtype)
    gates, cell, hidden = torch.empty_like(z), torch.empty(*SIZE, 1), z.new_empty(*SIZE, 1)
    own.forward(z, before.float(), (), gates=gates, cell=cell, hidden=hidden)
    return [one.double().flatten() for one in (*gates.chunk(4, dim=-1), cell, hidden)]


def test_gates_are_those_of_float64_at_all_values(own: Kernels) -> None:
    i, f, o, g = (VALUES.roll(shift).to(own.dtype).double() for shift in range(4))
    before = torch.linspace(-3, 3, 12)
    found = forward(own, [i, f, o, g, before])
    i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), 1 - 2 * g.sigmoid()
    cell = f * before.double() + i * g
    rounding = 2.0 ** (-9 if own.dtype == torch.bfloat16 else -22)
    for one, other in zip(found, (i, f, o, g, cell, o * cell.tanh()), strict=True):
        assert (one - other).abs().max() <= rounding * max(1, float(other.abs().max()))


def test_rounding_is_that_of_torch() -> None:
    own = compiled(torch.bfloat16)
    if own is None:
        pytest.skip("no C compiler")
    wide = torch.arange(2**20, dtype=torch.int32).mul(2**11).view(torch.float32)  # all exponents
    wide = wide[wide.isfinite() & (wide < 1)].contiguous()
    gates = torch.zeros(1, 1, len(wide), 4, dtype=torch.bfloat16)
    gates[..., :2] = 1  # I and F: then dC passes on to G as it is, for G = 0 and C = 0
    own.backward(
        torch.zeros(1, 1, len(wide), 1),
        torch.zeros(1, 1, len(wide), 1),
        torch.zeros(1, 1, len(wide), 1),
        (),
        gates=gates,
        dc=wide.clone().view(1, 1, -1, 1),
    )
    assert torch.equal(gates[0, 0, :, 3], wide.bfloat16())


@pytest.mark.parametrize("part", range(5), ids="ifogc")
def test_what_is_no_number_stays_so(own: Kernels, part: int) -> None:
    values = [torch.zeros(12)] * 5
    values[part] = torch.full((12,), NAN)
    assert forward(own, values)[5].isnan().all()


def test_tensors_that_c_would_misread_are_refused(own: Kernels) -> None:
    z, cell = torch.zeros(1, 2, 2, 4, dtype=own.dtype), torch.zeros(1, 2, 2, 1)
    hidden = z[..., :1].contiguous()
    own.forward(z, cell, (), gates=z.clone(), cell=cell.clone(), hidden=hidden)
    with pytest.raises(AssertionError):
        own.forward(z, cell, (), gates=z.clone(), cell=cell.clone(), hidden=z[..., :1])
    with pytest.raises(AssertionError):
        own.forward(z.double(), cell, (), gates=z.clone(), cell=cell.clone(), hidden=hidden)


@pytest.mark.parametrize("script", [None, "exit 1", "echo text > gates.so", "rm -r $PWD"])
def test_without_a_compiler_that_works_there_are_none(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script is not None:
        (tmp_path / "cc").write_text(
            f'#!/bin/sh\nfor last; do :; done\ncd "${{last%/*}}"\n{script}\n'
        )
        (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if script else str(tmp_path))
    compiled.cache_clear()
    try:
        assert compiled(torch.float32) is None
    finally:
        compiled.cache_clear()


def test_what_was_compiled_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compiled.cache_clear()
    compiled(torch.float32)
    assert list(tmp_path.iterdir()) == []


def test_float64_has_none() -> None:
    assert compiled(torch.float64) is None
    assert kernels.SOURCE.is_file()
