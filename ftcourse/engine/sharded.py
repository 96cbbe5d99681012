"""A model in shards (FSDP): each process keeps a part of weights, gradients and optimizer, and layers come together as
they are needed. A whole copy of the weights stands beside it, for what evaluates, keeps or saves the model."""

import copy
import os

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ftcourse.engine.launch import SHARDED, several

APART = "FSDP_RESHARD_AFTER_FORWARD"  # whether layers come apart between forward and backward pass, as in ZeRO-3


def asked_for() -> bool:
    """Whether this process was launched to keep a shard of the model.

    >>> asked_for()
    False
    """
    return several() and SHARDED in os.environ


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that is in shards, from all processes, which call this together; any other one is as it is.

    >>> whole(torch.ones(2))
    tensor([1., 1.])
    """
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def like(tensor: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """This process's shard of a whole tensor, where `pattern` is in shards and of the same shape; or else all of it.

    >>> like(torch.ones(2), torch.zeros(2))
    tensor([1., 1.])
    """
    if not isinstance(pattern, DTensor) or tensor.shape != pattern.shape:
        return tensor
    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, pattern.placements, src_data_rank=None)


class Shards:
    """The shards of `model` that this process trains, in `network`; `model` itself stays whole."""

    def __init__(self, model: torch.nn.Module, accelerator: Accelerator):
        self.model = model.to(accelerator.device)
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            torch.distributed.broadcast(tensor.detach(), 0)
        network = copy.deepcopy(self.model)
        how = {"mesh": init_device_mesh(accelerator.device.type, (accelerator.num_processes,))}
        how["reshard_after_forward"] = parse_flag_from_env(APART, True)
        layers = {*(getattr(model, "_no_split_modules", None) or ())}
        for layer in [module for module in network.modules() if type(module).__name__ in layers]:
            fully_shard(layer, **how)
        self.network = accelerator.prepare_model(fully_shard(network, **how), evaluation_mode=True)

    def pairs(self):
        """Each weight and buffer of the whole model, with the same one in shards."""
        yield from zip(self.model.parameters(), self.network.parameters(), strict=True)
        yield from zip(self.model.buffers(), self.network.buffers(), strict=True)

    @torch.no_grad()
    def gather(self) -> None:
        """Bring the weights of all shards into the whole model, in all processes together."""
        for tensor, shard in self.pairs():
            tensor.copy_(whole(shard))

    @torch.no_grad()
    def scatter(self) -> None:
        """Bring the weights of the whole model into the shards."""
        for tensor, shard in self.pairs():
            shard.copy_(like(tensor, shard))
