"""Measures all that is to be known of a GPU, in one call: `python -m tests.benchmarks.cuda`.

It prints the table of `train_step`; then, for a whole step of the shipped network (basis, network,
readout, loss, and the optimizer), called and replayed, its time, how often the CPU waits within it,
its memory, and whether two runs give the same bits; then the passes of other networks as one CUDA
graph. The gates are those
of Triton; the column `by_torch` tells what they gain. On a machine without a GPU, `--dry` runs it
on the CPU, to see that it runs; its figures are none then.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from convlstm.model.network import Architecture, Network
from convlstm.train.losses import masked_crps
from convlstm.train.replaying import CUDAGraphs, Replayed

from . import train_step
from .sizes import CONTEXT, FRAMES, SIZES, USUAL
from .train_step import DEVICE, PRECISIONS, seconds

SIDE, PATCH, BATCH, MEMBERS = 140, 4, 4, 2
SHIPPED = Architecture(
    "convlstm",
    (16, 16),
    3,
    channels=PATCH**2,
    rows=SIDE // PATCH,
    cols=SIDE // PATCH,
    readout="cascade",
    scales=(1.0, 4.0, 8.0, 16.0),
    patch_size=PATCH,
)
CUDA = DEVICE.type == "cuda"


def whole_step(dtype: torch.dtype, *, replayed: bool) -> tuple[Network, Callable[[], None]]:
    """Return the shipped network, and a step of its training on random frames."""
    torch.manual_seed(0)
    net = Network(SHIPPED).to(DEVICE)
    net.memory.fused = True
    adam = torch.optim.Adam(net.parameters())
    grid, leads = SIDE // PATCH, FRAMES - CONTEXT
    frames = torch.rand(BATCH, CONTEXT, PATCH**2, grid, grid, device=DEVICE)
    truth = torch.rand(BATCH, leads, 1, SIDE, SIDE, device=DEVICE)
    mask, measured = torch.ones_like(frames).bool(), torch.ones_like(truth).bool()
    white = torch.randn(MEMBERS, BATCH, leads, SIDE, SIDE, device=DEVICE)

    def called(context: Tensor, mask: Tensor, white: Tensor) -> Tensor:
        net.zero_grad()
        (members,) = net.ensemble(context, mask, leads, [white], dtype)
        loss = masked_crps(members, truth, measured, 0.99)
        loss.backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        return loss.detach()

    passes = Replayed(called, net, CUDAGraphs(), print) if replayed else called

    def step() -> None:
        passes(frames, mask, white)
        adam.step()

    return net, step


def weights_after(steps: int, dtype: torch.dtype, *, replayed: bool) -> list[Tensor]:
    """Return the weights of the shipped network after some steps."""
    net, step = whole_step(dtype, replayed=replayed)
    for _ in range(steps):
        step()
    return [weight.detach() for weight in net.parameters()]


def waits(step: Callable[[], None]) -> int:
    """Return how often the CPU waits for the GPU within a step."""
    if not CUDA:
        return 0
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        step()
    torch.cuda.set_sync_debug_mode("default")
    return len(seen)


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of a run, in milliseconds, after three that are not counted."""
    return 1e3 * statistics.median([seconds(work) for _ in range(repeats + 3)][3:])


def graph(name: str, dtype: torch.dtype) -> Callable[[], object]:
    """Return the forward and the backward pass of a network as one CUDA graph."""
    size = SIZES[name]
    net = size.network().to(DEVICE)
    net.memory.fused = True
    frames = train_step.as_batches_are(train_step.windows(size))
    fed = (torch.arange(FRAMES - 1) < CONTEXT).repeat(size.batch, 1)

    def passes() -> Tensor:
        net.zero_grad()
        net.memory.buffers.clear()
        loss: Tensor = net(frames, fed, dtype).square().mean()
        loss.backward()  # type: ignore[no-untyped-call] # torch ships no type for it
        return loss.detach()

    return CUDAGraphs()(passes)[1]


def print_whole_step(repeats: int, *, replayed: bool) -> None:
    """Print what a step of the shipped network takes."""
    for precision, dtype in PRECISIONS.items():
        first, second = (weights_after(3, dtype, replayed=replayed) for _ in range(2))
        same = all(map(torch.equal, first, second))
        _, step = whole_step(dtype, replayed=replayed)
        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        took = median_ms(step, repeats)
        peak = torch.cuda.max_memory_allocated() / 1e6 if CUDA else float("nan")
        bits = "the same bits twice" if same else "OTHER BITS the second time"
        way = "replayed" if replayed else "called"
        figures = f"{took:.1f} ms, {waits(step)} waits, {peak:.0f} MB, {bits}"
        print(f"shipped {precision}, {way}: {figures}", flush=True)


def print_graphs(repeats: int) -> None:
    """Print the time of a graph of each network beside that of a step."""
    for name in USUAL if CUDA else ():
        for precision, dtype in PRECISIONS.items():
            eager = median_ms(train_step.ours(SIZES[name], dtype)["step"], repeats)
            try:
                replayed = f"{median_ms(graph(name, dtype), repeats):.2f}"
            except RuntimeError as error:  # an operation that no graph takes
                replayed = f"none: {str(error).splitlines()[0]}"
            print(f"graph {name} {precision}: eager {eager:.2f} ms, {replayed}", flush=True)


def main() -> None:
    """Print everything, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="run on the CPU")
    parser.add_argument("--repeats", type=int, default=20)
    asked = parser.parse_args()
    if not CUDA and not asked.dry:
        parser.exit(2, "error: there is no GPU; --dry runs it on the CPU\n")
    torch.use_deterministic_algorithms(True)
    print(torch.cuda.get_device_name() if CUDA else "dry run on the CPU")
    for name in USUAL if CUDA else ("default",):
        for precision in PRECISIONS:
            print(train_step.row(name, precision, None, asked.repeats), flush=True)
    for replayed in (False, True) if CUDA else (False,):
        print_whole_step(asked.repeats, replayed=replayed)
    print_graphs(asked.repeats)


if __name__ == "__main__":
    main()
