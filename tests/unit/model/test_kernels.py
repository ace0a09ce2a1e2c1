"""The gates in one pass: as torch computes them, at all values, and None where they cannot be had.

Those of Triton are tested on a GPU, or in Triton's interpreter, where Triton is installed.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from convlstm.model import c_kernels, gates
from convlstm.model.c_kernels import CKernels, compiled

DTYPES = (torch.float32, torch.bfloat16)
VALUES = torch.tensor([0, -0.0, 1e-30, 0.3, -2.5, 17, -17, 90, -90, 3e38, -3e38, torch.inf])
NAN, SIZE = float("nan"), (1, 3, 4)


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTERPRETED = DEVICE == "cpu" and find_spec("triton") is not None
"""Whether Triton's kernels are interpreted, which cuts bfloat16 off instead of rounding it."""


def in_c(dtype: torch.dtype) -> CKernels:
    """The kernels in C; skips where there is no compiler."""
    found = compiled(dtype)
    if found is None:
        pytest.skip("no C compiler")
    return found


@pytest.fixture(params=[(kind, dtype) for kind in ("c", "triton") for dtype in DTYPES], ids=str)
def own(request: pytest.FixtureRequest) -> Any:
    """The kernels of one kind and dtype."""
    kind, dtype = request.param
    if kind == "c":
        return in_c(dtype)
    if find_spec("triton") is None:
        pytest.skip("no Triton")
    if INTERPRETED:
        os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
    from convlstm.model.triton_kernels import TritonKernels

    return TritonKernels(dtype)


def device_of(own: Any) -> str:
    """Where the kernels compute."""
    return "cpu" if isinstance(own, CKernels) else DEVICE


def forward(own: Any, values: list[Tensor]) -> list[Tensor]:
    """I, F, O, G, C and H, in float64, of pre-activations of I, F, O and G and of a C before."""
    *four, before = [value.reshape(*SIZE, 1).to(device_of(own)) for value in values]
    z, state = torch.cat(four, dim=-1).to(own.dtype), before.float().clone()
    gates, cell, hidden = torch.empty_like(z), z.new_empty(*SIZE, 1), z.new_empty(*SIZE, 1)
    own.forward(z, state, (), gates=gates, cell=cell, hidden=(hidden, hidden))
    assert torch.equal(cell, state.to(own.dtype)) or state.isnan().any() or INTERPRETED
    return [one.double().flatten().cpu() for one in (*gates.chunk(4, dim=-1), state, hidden)]


def test_gates_are_those_of_float64_at_all_values(own: Any) -> None:
    i, f, o, g = (VALUES.roll(shift).to(own.dtype).double() for shift in range(4))
    before = torch.linspace(-3, 3, 12)
    found = forward(own, [i, f, o, g, before])
    i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), 1 - 2 * g.sigmoid()
    cell = f * before.double() + i * g
    half = -8 if INTERPRETED and not isinstance(own, CKernels) else -9
    rounding = 2.0 ** (half if own.dtype == torch.bfloat16 else -22)
    for one, other in zip(found, (i, f, o, g, cell, o * cell.tanh()), strict=True):
        assert (one - other).abs().max() <= rounding * max(1, float(other.abs().max()))


def test_rounding_is_that_of_torch() -> None:
    own = in_c(torch.bfloat16)
    wide = torch.arange(2**20, dtype=torch.int32).mul(2**11).view(torch.float32)  # all exponents
    wide = wide[wide.isfinite() & (wide < 1)].contiguous()
    wide = wide[wide.abs() >= torch.finfo(torch.float32).tiny]  # smaller ones may become zero
    gates = torch.zeros(1, 1, len(wide), 4, dtype=torch.bfloat16)
    gates[..., :2] = 1  # I and F: then dC passes on to G as it is, for G = 0 and C = 0
    zeros, dc = torch.zeros(1, 1, len(wide), 1), wide.clone().view(1, 1, -1, 1)
    none = zeros.bfloat16()
    own.backward((none, none), none, none, (), (gates, dc, torch.zeros(torch.get_num_threads(), 4)))
    assert torch.equal(gates[0, 0, :, 3], wide.bfloat16())


@pytest.mark.parametrize("peephole", [False, True], ids=["plain", "peephole"])
@pytest.mark.parametrize("channels", [1, 15, 16, 37])
def test_both_ways_are_those_of_autograd_in_float64(
    own: Any, channels: int, peephole: bool
) -> None:
    torch.manual_seed(0)
    where, shape = device_of(own), (2, 3, 5, channels)
    z = torch.randn(2, 3, 5, 4 * channels, device=where).to(own.dtype)
    before, dc, *_ = torch.randn(2, *shape, device=where)
    peepholes = list(torch.randn(3, *shape[1:], device=where)) if peephole else []
    gates, cell, joined = torch.empty_like(z), z.new_empty(shape), torch.zeros_like(z)
    parts = joined.chunk(4, dim=-1)  # 0 and 2 are the places of H, 1 and 3 gradients of H
    for part in parts[1::2]:
        part.normal_()
    untouched = joined.clone().chunk(4, dim=-1)[1]
    before = before.to(own.dtype)  # as it is kept for the backward pass
    state = before.float().clone()
    own.forward(z, state, peepholes, gates=gates, cell=cell, hidden=(parts[0], parts[2]))
    leaves = [one.double().requires_grad_() for one in (*z.chunk(4, dim=-1), before)]
    c, h = of_autograd(leaves, [one.double() for one in peepholes])
    rounding = 2.0 ** (-7 if own.dtype == torch.bfloat16 else -20)
    assert (state - c).abs().max() < 1e-5
    assert (cell - c).abs().max() < rounding * 4
    assert (parts[0] - h).abs().max() < rounding
    assert torch.equal(parts[0], parts[2])
    assert torch.equal(parts[1], untouched)
    dh = parts[1].double() + parts[3].double()
    expected = torch.autograd.grad((c * dc.double()).sum() + (h * dh).sum(), leaves)
    sums = torch.zeros(torch.get_num_threads(), 4 * channels)
    own.backward((parts[1], parts[3]), cell, before, peepholes, (gates, dc, sums))
    scales = (1, 1, 1, -2, 1)  # z has -2 times the pre-activation of the candidate
    true = [scale * grad for scale, grad in zip(scales, expected, strict=True)]
    for found, other in zip((*gates.chunk(4, -1), dc), true, strict=True):
        assert (found - other).abs().max() < 4 * rounding * max(1, float(other.abs().max()))
    if own.sums_bias:
        total = torch.cat(true[:4], dim=-1).sum(dim=(0, 1, 2))
        assert (sums.sum(dim=0) - total).abs().max() < 30 * 4 * rounding


def of_autograd(leaves: list[Tensor], peepholes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """C and H by plain operations."""
    i, f, o, g, before = leaves
    peep_i, peep_f, peep_o = peepholes or [torch.zeros_like(before[0])] * 3
    i, f = (i + peep_i * before).sigmoid(), (f + peep_f * before).sigmoid()
    c = f * before + i * (-0.5 * g).tanh()
    return c, (o + peep_o * c).sigmoid() * c.tanh()


def test_bfloat16_is_the_same_without_the_instruction_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_it = in_c(torch.bfloat16)
    monkeypatch.setattr(c_kernels, "FLAGS", (*c_kernels.FLAGS, "-U__AVX512BF16__"))
    compiled.cache_clear()
    without = in_c(torch.bfloat16)
    compiled.cache_clear()
    found = [forward(one, [VALUES.roll(k) for k in range(5)]) for one in (with_it, without)]
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("part", range(5), ids="ifogc")
def test_what_is_no_number_stays_so(own: Any, part: int) -> None:
    values = [torch.zeros(12)] * 5
    values[part] = torch.full((12,), NAN)
    assert forward(own, values)[5].isnan().all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_that_c_would_misread_are_refused(dtype: torch.dtype) -> None:
    own = in_c(dtype)
    z, state = torch.zeros(2, 2, 2, 8, dtype=own.dtype), torch.zeros(2, 2, 2, 2)
    hidden = z[..., :2].clone()

    def call(z: Tensor, hidden: Tensor) -> None:
        places = hidden, torch.zeros_like(hidden)
        cell = torch.zeros_like(state, dtype=own.dtype)
        own.forward(z, state, (), gates=torch.zeros_like(z), cell=cell, hidden=places)

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
    assert c_kernels.SOURCE.is_file()


def test_devices_without_a_library_of_their_own_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "find_spec", lambda _: None)
    for device in ("cuda", "mps"):
        assert gates.kernels_of(torch.float32, torch.device(device)) is None
