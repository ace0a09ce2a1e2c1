"""Ranks that are threads of one process, in the place of torch.distributed."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor

from convlstm.model.ranks import Ranks


@dataclass
class Table:
    """Where threads meet that stand for processes: each call ends when all have made it."""

    count: int
    values: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.count, timeout=60)
        self.sent: list[SimpleQueue[Tensor]] = [SimpleQueue() for _ in range(self.count)]

    def together(
        self, number: int, own: Tensor, of_all: Callable[[list[Tensor]], Tensor]
    ) -> Tensor:
        """Return what comes of the values of all threads, in their order."""
        self.values[number] = own.clone()
        self.barrier.wait()
        result = of_all([self.values[rank] for rank in range(self.count)])
        self.barrier.wait()
        return result


@dataclass(frozen=True)
class Threads(Ranks):
    """Ranks that meet at a table in the place of torch.distributed."""

    table: Table = field(default_factory=lambda: Table(1))

    def _reduced(self, own: Tensor, operation: Any) -> Tensor:
        most = operation == torch.distributed.ReduceOp.MAX
        return own.copy_(
            self.table.together(
                self.number,
                own,
                lambda values: (
                    torch.stack(values).amax(dim=0) if most else sum(values[1:], values[0])
                ),
            )
        )

    def _sent(self, own: Tensor) -> Tensor:
        return own.copy_(self.table.together(self.number, own, lambda values: values[0]))

    def _send_first(self, content: Tensor) -> None:
        self.table.sent[self.number].put(content.clone())

    def _received(self, sender: int) -> Tensor:
        return self.table.sent[sender].get(timeout=60)


def in_threads(count: int, work: Callable[[Ranks], object]) -> list[object]:
    """Return what each of some ranks makes of its work, or the exception that ended it."""
    table, results = Table(count), dict[int, object]()

    def run(number: int) -> None:
        try:
            results[number] = work(Threads(number, count, table=table))
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(count)]
