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
    own.forward(z, before.float(), (), gates=gates, cell=cell, hidden=(hidden, hidden))
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
    wide = wide[wide.abs() >= torch.finfo(torch.float32).tiny]  # smaller ones may become zero
    gates = torch.zeros(1, 1, len(wide), 4, dtype=torch.bfloat16)
    gates[..., :2] = 1  # I and F: then dC passes on to G as it is, for G = 0 and C = 0
    zeros, dc = torch.zeros(1, 1, len(wide), 1), wide.clone().view(1, 1, -1, 1)
    dh = (zeros.bfloat16(), zeros.bfloat16())
    own.backward(dh, zeros, zeros, (), (gates, dc, torch.zeros(torch.get_num_threads(), 4)))
    assert torch.equal(gates[0, 0, :, 3], wide.bfloat16())


@pytest.mark.parametrize("channels", [1, 15, 16, 37])
def test_channels_are_computed_alike_whether_or_not_they_fill_vectors(
    own: Kernels, channels: int
) -> None:
    torch.manual_seed(0)
    z = torch.randn(2, 3, 5, 4 * channels).to(own.dtype)
    before, sums = (
        torch.randn(2, 3, 5, channels),
        torch.zeros(torch.get_num_threads(), 4 * channels),
    )
    peepholes = [torch.randn(3, 5, channels) for _ in range(3)]
    gates, cell = torch.empty_like(z), torch.empty_like(before)
    joined = torch.zeros(2, 3, 5, 3 * channels, dtype=own.dtype)
    parts = joined.chunk(3, dim=-1)
    own.forward(z, before, peepholes, gates=gates, cell=cell, hidden=(parts[0], parts[2]))
    i, f, o, g = z.double().chunk(4, dim=-1)
    i, f = (i + peepholes[0] * before).sigmoid(), (f + peepholes[1] * before).sigmoid()
    expected = f * before + i * (1 - 2 * g.sigmoid())
    assert (cell - expected).abs().max() < 1e-5
    hidden = (o + peepholes[2] * expected).sigmoid() * expected.tanh()
    for part in (parts[0], parts[2]):
        assert (part - hidden).abs().max() < (0.01 if own.dtype == torch.bfloat16 else 1e-5)
    assert not parts[1].any()  # what lies between the two places is left alone
    dc = torch.randn_like(before)
    own.backward((parts[0], parts[1]), cell, before, peepholes, (gates, dc, sums))
    rounding = gates.abs().sum() * (0.004 if own.dtype == torch.bfloat16 else 1e-6)
    assert (sums.sum(dim=0) - gates.float().sum(dim=(0, 1, 2))).abs().sum() <= rounding


def test_bfloat16_is_the_same_without_the_instruction_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_it = compiled(torch.bfloat16)
    if with_it is None:
        pytest.skip("no C compiler")
    monkeypatch.setattr(kernels, "FLAGS", (*kernels.FLAGS, "-U__AVX512BF16__"))
    compiled.cache_clear()
    without = compiled(torch.bfloat16)
    compiled.cache_clear()
    assert without is not None
    found = [forward(one, [VALUES.roll(k) for k in range(5)]) for one in (with_it, without)]
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("part", range(5), ids="ifogc")
def test_what_is_no_number_stays_so(own: Kernels, part: int) -> None:
    values = [torch.zeros(12)] * 5
    values[part] = torch.full((12,), NAN)
    assert forward(own, values)[5].isnan().all()


def test_tensors_that_c_would_misread_are_refused(own: Kernels) -> None:
    z, cell = torch.zeros(2, 2, 2, 8, dtype=own.dtype), torch.zeros(2, 2, 2, 2)
    hidden = z[..., :2].clone()

    def call(z: torch.Tensor, hidden: torch.Tensor) -> None:
        places = hidden, torch.zeros_like(hidden)
        own.forward(z, cell, (), gates=torch.zeros_like(z), cell=cell.clone(), hidden=places)

    call(z, hidden)
    call(z, z[..., 2:4].clone())
    with pytest.raises(AssertionError):
        call(z.double(), hidden)
    with pytest.raises(AssertionError):
        call(z, hidden.double())
    with pytest.raises(AssertionError):
        call(z.transpose(0, 1), hidden)
    with pytest.raises(RuntimeError):  # its pixels are not equally far apart
        call(z, hidden.transpose(0, 1))
    with pytest.raises(AssertionError):  # and the channels of these are not beside each other
        call(z, z[..., ::4])


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
