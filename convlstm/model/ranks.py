"""The ranks of a run: processes, each with a device of its own, that share all work.

Of an evaluation each makes whole batches. Of a training each has a part of every batch: a sum over
its windows is the sum of the ranks' own sums, so a mean is exact where its count is summed as well.
That is all they need of each other: the gradient is summed once a step, in one message.
(DistributedDataParallel takes the mean of means, which is another number where the ranks measured
unequally many pixels, and its gain is to send the gradient of the upper layers while the lower ones
are computed; our backward pass gives all of them at once.)
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from torch import Tensor

from convlstm.runtime.errors import RankLost

State = Mapping[str, Any]
"""Tensors and plain values by name, in lists, tuples and dicts."""
PartT = TypeVar("PartT")
SILENCE = timedelta(minutes=30)
"""A rank that says nothing for so long is lost; one that was killed is missed at once."""
WAIT_SECONDS = 0.25
BEGUN, ENTERED = "begun", "entered"  # by which the first rank tells the others how far it is


@dataclass(frozen=True)
class Ranks:
    """The place of this process among the ranks of a run; alone it is the first of one.

    Alone, nothing is sent, and torch.distributed is not asked. All ranks must call the same methods
    in the same order, but for those that ask for the place.

    `store` is a torch.distributed.Store, by which the ranks have found each other.
    """

    number: int = 0
    count: int = 1
    store: Any = None

    @property
    def first(self) -> bool:
        """Whether this rank is the one that writes."""
        return self.number == 0

    def places(self, windows: int) -> slice:
        """Return which of the windows of a batch are ours.

        Where there are fewer windows than ranks, one that `is_spare` takes the first window.
        """
        own = slice(*(number * windows // self.count for number in (self.number, self.number + 1)))
        return slice(0, 1) if own.start == own.stop else own

    def is_spare(self, windows: int) -> bool:
        """Whether no window of a batch is ours."""
        return self.number * windows // self.count == (self.number + 1) * windows // self.count

    def total(self, own: Num[Tensor, "*shape"]) -> Num[Tensor, "*shape"]:
        """Return the sum over ranks of a count, through which no gradient flows."""
        return own if self.count == 1 else self._sum(own.detach().clone())

    def gradient(
        self, weights: Iterable[torch.nn.Parameter], loss: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """Sum the gradients of all weights over ranks, in place; return the sum of the losses."""
        if self.count == 1:
            return loss
        parts = [*(weight.grad for weight in weights if weight.grad is not None), loss.detach()]
        message = self._sum(torch.cat([part.flatten() for part in parts]))
        summed = torch.split(message, [part.numel() for part in parts])
        for part, values in zip(parts[:-1], summed[:-1], strict=True):
            part.copy_(values.view_as(part))
        return summed[-1].reshape(())

    def sums(self, *own: Float[np.ndarray, "..."]) -> list[Float[np.ndarray, "..."]]:
        """Return the sums over ranks of arrays in float64."""
        if self.count == 1:
            return [*own]
        flat = torch.from_numpy(np.concatenate([part.ravel() for part in own]))
        parts = np.split(self._sum(flat).numpy(), np.cumsum([part.size for part in own])[:-1])
        return [part.reshape(like.shape) for part, like in zip(parts, own, strict=True)]

    def most(self, number: int) -> int:
        """Return the largest number of all ranks."""
        if self.count == 1:
            return number
        return int(self._reduced(torch.tensor(number), torch.distributed.ReduceOp.MAX).item())

    def of_first(self, number: float) -> float:
        """Return the number of the first rank."""
        if self.count == 1:
            return number
        return float(self._sent(torch.tensor(number, dtype=torch.float64)).item())

    def state_of_first(self, state: State) -> State:
        """Return the state of the first rank."""
        if self.count == 1:
            return state
        content = _packed(state) if self.first else torch.empty(0, dtype=torch.uint8)
        size = int(self._sent(torch.tensor(len(content))).item())
        return _unpacked(self._sent(content if self.first else content.new_empty(size)))

    def in_turn(
        self,
        own: Iterator[PartT],
        count: int,
        state: Callable[[PartT], State],
        of_state: Callable[[State], PartT],
    ) -> Iterator[PartT]:
        """Return on the first rank an iterator over `count` parts of the work, in their order.

        The ranks make them in turn. The others send theirs to the first one, and get nothing.

        Args:
            own: makes our parts: those whose number, divided by the count of ranks, leaves ours.
            count: of the parts of all ranks.
            state: tells what is sent of a part.
            of_state: makes the part again.
        """

        def gathered() -> Iterator[PartT]:
            for number in range(count):
                maker = number % self.count
                if maker == self.number:
                    part = next(own)
                    if self.first:
                        yield part
                    else:
                        self._send_first(_packed(state(part)))
                elif self.first:
                    yield of_state(_unpacked(self._received(maker)))

        return own if self.count == 1 else gathered()

    @contextmanager
    def after_first(self, entered: AbstractContextManager[object]) -> Iterator[None]:
        """Enter a context on the first rank; the others wait for that, however long it takes."""
        if self.first:
            with entered:
                if self.store is not None:
                    self.store.set(ENTERED, "")
                yield
        else:
            _wait(self.store, ENTERED)
            yield

    def meet(self) -> None:
        """Wait until all ranks are here."""
        self.most(0)

    def _send_first(self, content: Tensor) -> None:
        with _missed():
            torch.distributed.send(torch.tensor(len(content)), 0)
            torch.distributed.send(content, 0)

    def _received(self, sender: int) -> Tensor:
        size = torch.tensor(0)
        with _missed():
            torch.distributed.recv(size, sender)
            content = torch.empty(int(size.item()), dtype=torch.uint8)
            torch.distributed.recv(content, sender)
        return content

    def _sum(self, own: Tensor) -> Tensor:
        return self._reduced(own, torch.distributed.ReduceOp.SUM)

    def _reduced(self, own: Tensor, operation: Any) -> Tensor:
        with _missed():
            torch.distributed.all_reduce(own, operation)
        return own

    def _sent(self, own: Tensor) -> Tensor:
        with _missed():
            torch.distributed.broadcast(own, 0)
        return own


ALONE = Ranks()


def _packed(state: State) -> UInt8[Tensor, " byte"]:
    content = BytesIO()
    torch.save(dict(state), content)
    return torch.frombuffer(bytearray(content.getvalue()), dtype=torch.uint8)


def _unpacked(content: UInt8[Tensor, " byte"]) -> State:
    taken = torch.load(BytesIO(content.numpy().data), map_location="cpu", weights_only=True)
    return dict(taken)


@contextmanager
def joined(number: int, count: int) -> Iterator[Ranks]:
    """Meet the other ranks, which a launcher has told where (MASTER_ADDR, MASTER_PORT).

    Tensors of a GPU go by NCCL, those of a CPU by gloo.
    """
    if count == 1:
        yield ALONE
        return
    from torch.distributed.rendezvous import rendezvous  # here, because few runs have ranks

    with _missed():
        store, number, count = next(rendezvous("env://", timeout=SILENCE))
        if number == 0:
            store.set(BEGUN, "")
        else:  # the first one may have been refused, and torch's own wait hears no signal
            _wait(store, BEGUN)
        torch.distributed.init_process_group(
            store=store, rank=number, world_size=count, timeout=SILENCE
        )
    yield Ranks(number, count, store)
    torch.distributed.destroy_process_group()  # not after an error: others may be gone


def _wait(store: Any, name: str) -> None:
    """Wait until the first rank has set this name; a signal ends the wait at once."""
    with _missed():
        while not store.check([name]):
            time.sleep(WAIT_SECONDS)


@contextmanager
def _missed() -> Iterator[None]:
    """Tell in a line that another rank is missed."""
    try:
        yield
    except RuntimeError as error:  # of a lost connection, or of an end of the time
        reason = str(error).splitlines()[0][:200]
        raise RankLost(
            f"another rank of this run has ended, or is not reached ({reason}); the same command "
            f"begins again, or goes on from the last checkpoint"
        ) from None
