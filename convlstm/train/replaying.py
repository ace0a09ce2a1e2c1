"""A GPU is kept at work: steps are copied to it ahead, and their passes are replayed as one graph.

A step of a small network is thousands of short kernels, which Python starts more slowly than the
GPU computes them. A CUDA graph holds all of them, and is started by one call.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from convlstm.model.grids import held_constants
from convlstm.model.network import Network
from convlstm.train.drawing import Step

CLOSE = 0.01
"""The most that gradients may differ, relative to their norm, if the graph may have other kernels;
what is wrong differs as much as it is large."""

Passes = Callable[..., Float[Tensor, ""]]
"""Computes the loss of what it is given, and leaves its gradient alone in the weights."""
Replay = Callable[[], object]
Capture = Callable[[Callable[[], Tensor]], tuple[Tensor, Replay]]
"""Calls a function so that it can be replayed: with the same memory, without Python."""


def on_device(steps: Iterator[Step], device: torch.device) -> Iterator[Step]:
    """Yield steps on the device; a GPU copies the next one while it computes."""
    if device.type != "cuda":
        yield from steps
        return
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch ships no type for it
    ahead: tuple[Step, torch.cuda.Event] | None = None
    for step in steps:
        with torch.cuda.stream(copying):
            frames, mask, white = (part.to(device, non_blocking=True) for part in step[:3])
            copied = Step(frames, mask, white, step.uniform), copying.record_event()
        if ahead is not None:
            yield _arrived(*ahead)
        ahead = copied
    if ahead is not None:
        yield _arrived(*ahead)


def _arrived(step: Step, event: torch.cuda.Event) -> Step:
    """Let what is computed from now on wait for a step that is still being copied."""
    own = torch.cuda.current_stream()
    own.wait_event(event)
    for part in step[:3]:
        part.record_stream(own)  # or its memory might serve the next copy too early
    return step


class CUDAGraphs:
    """Captures functions as CUDA graphs, which share their memory.

    They may, because what one of them returns is used before another one is replayed.
    """

    def __init__(self) -> None:
        self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch ships no type for it

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Tensor, Replay]:
        """Capture a function; it must neither wait for the GPU nor copy from the CPU."""
        before, aside = torch.cuda.current_stream(), self._stream
        aside.wait_stream(before)
        with torch.cuda.stream(before):  # which a capture that fails would not return to
            with torch.cuda.stream(aside):
                work()  # libraries get their memory of this stream
            before.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # In its own thread only, because another one reads ahead and pins memory meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=aside, capture_error_mode="thread_local"
            ):
                result = work()
        return result, graph.replay


class _Graph(NamedTuple):
    """A graph with the memory that it reads and writes; `constants` must only outlive it."""

    given: tuple[Tensor, ...]
    loss: Float[Tensor, ""]
    grads: list[Tensor | None]
    replay: Replay
    constants: list[Tensor]


class Replayed:
    """Passes that are captured at the first step of each shape, and replayed from then on.

    A graph is used only if it gives the loss and the gradients of the passes that Python calls;
    otherwise, and where none can be captured, Python goes on calling them.

    Args:
        passes: must not depend on anything but the tensors that they are given and the weights.
        network: whose weights get gradients.
        capture: captures a call.
        say: is told once in a line which way it is.
    """

    def __init__(
        self, passes: Passes, network: Network, capture: Capture, say: Callable[[str], None]
    ) -> None:
        self._passes, self._network, self._say = passes, network, say
        self._capture: Capture | None = capture
        self._graphs: dict[tuple[torch.Size, ...], _Graph] = {}

    def __call__(self, *given: Tensor) -> Float[Tensor, ""]:
        """Return the loss, and set the gradients of the weights; both last until the next call."""
        if self._capture is None:
            return self._passes(*given)
        shapes = tuple(part.shape for part in given)
        if shapes in self._graphs:
            return self._replayed(self._graphs[shapes], given)
        return self._first(shapes, given, self._capture)

    def _first(
        self, shapes: tuple[torch.Size, ...], given: tuple[Tensor, ...], capture: Capture
    ) -> Float[Tensor, ""]:
        """Capture the passes, and compare what the graph gives."""
        loss = self._passes(*given)
        expected = self._outcome(loss)
        if not expected.isfinite().all():  # of which nothing can be told
            return loss
        try:
            graph = self._captured(given, capture)
            loss = self._replayed(graph, given)
            if not (self._outcome(loss) - expected).norm() <= CLOSE * expected.norm():
                raise RuntimeError("it gives other gradients")
        except RuntimeError as error:
            self._capture, self._graphs = None, {}
            reason = str(error).partition("\n")[0][:200]
            self._say(f"steps are not replayed as a CUDA graph, which would be faster ({reason})")
            return self._passes(*given)
        if not self._graphs:
            self._say("steps are replayed as a CUDA graph")
        self._graphs[shapes] = graph
        return loss

    def _captured(self, given: tuple[Tensor, ...], capture: Capture) -> _Graph:
        own = tuple(part.clone() for part in given)

        def work() -> Tensor:
            self._network.memory.buffers.clear()  # others' may be freed, or change hands
            return self._passes(*own)

        try:
            with held_constants() as constants:
                loss, replay = capture(work)
        finally:
            self._network.memory.buffers.clear()
        grads = [weight.grad for weight in self._network.parameters()]
        return _Graph(own, loss, grads, replay, constants)

    def _replayed(self, graph: _Graph, given: tuple[Tensor, ...]) -> Float[Tensor, ""]:
        for own, part in zip(graph.given, given, strict=True):
            own.copy_(part)
        graph.replay()
        for weight, grad in zip(self._network.parameters(), graph.grads, strict=True):
            weight.grad = grad
        return graph.loss

    def _outcome(self, loss: Float[Tensor, ""]) -> Float[Tensor, " number"]:
        """Return the loss and all gradients, a copy."""
        grads = (weight.grad for weight in self._network.parameters())
        return torch.cat([loss.reshape(1), *(one.flatten() for one in grads if one is not None)])
