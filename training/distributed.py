"""Data parallelism over the processes that ``torchrun`` starts.

Each process computes an equal slice of the joint batch; gradients are averaged over processes
before every update, so all hold the same weights. Batch normalisation on the CPU takes its
statistics from the process's own slice (on CUDA, ``SyncBatchNorm`` joins them).
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process's place among those of the run. A lone process talks to nobody."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """Processes of the run."""

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """Sum of ``value`` over all processes, equal on each."""
        total = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total

    def mean(self, value: Tensor) -> Tensor:
        """Mean of the floating ``value`` over all processes, equal on each."""
        return self.sum(value) / self.size

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether ``flag`` is set on any process."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(int(flag), device=device)))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over all processes, in one message."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        joint = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(joint)
        joint /= self.size
        pieces = torch.split(joint, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def broadcast(self, modules: Iterable[nn.Module]) -> None:
        """Give every process the weights and buffers of process 0."""
        if self.size == 1:
            return
        for module in modules:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, src=0)

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def process_group(backend: str) -> Iterator[ProcessGroup]:
    """Join the group that the environment describes (torchrun's RANK, WORLD_SIZE, MASTER_ADDR).

    ``backend``: "gloo" for CPUs, "nccl" for GPUs. Without those variables: a group of one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ProcessGroup()
        return
    dist.init_process_group(backend)
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
