"""Loads the ConvLSTM of a checkout of OpenSTL, to measure it beside ours; its code is not here."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .sizes import CONTEXT, FRAMES, Size


class OpenSTL:
    """Its network at one size as it is shipped, with a call per gate map and step.

    It has scheduled sampling of the forecast frames alone, as its recipe for Moving MNIST asks.
    `dtype` is that of its convolutions: bfloat16 is autocast, as its users would have it.
    """

    def __init__(self, root: Path, size: Size, device: torch.device) -> None:
        config = {
            "in_shape": (CONTEXT, size.channels, size.grid, size.grid),
            "patch_size": 1,  # the frames are folded already
            "filter_size": size.kernel,
            "stride": 1,
            "layer_norm": 0,
            "pre_seq_length": CONTEXT,
            "aft_seq_length": FRAMES - CONTEXT,
            "reverse_scheduled_sampling": 0,
        }
        layers = len(size.hidden), list(size.hidden)
        self.network: nn.Module = _model(root)(*layers, SimpleNamespace(**config)).to(device)
        self.dtype = torch.float32

    def loss(
        self,
        frames: Float[Tensor, "batch time channel row col"],
        fed: Bool[Tensor, "batch forecaststep"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the loss of a step: the mean squared error of all next frames.

        Args:
            frames: folded, in [0, 1].
            fed: at which of the steps after the context the true frame is fed; None for never.
        """
        loss: Tensor = self._run(frames, fed, return_loss=True)[1]
        return loss

    def forecast(
        self, frames: Float[Tensor, "batch time channel row col"]
    ) -> Float[Tensor, "batch lead channel row col"]:
        """Forecast the frames after the context freely, without loss and gradients."""
        with torch.no_grad():
            outputs: Tensor = self._run(frames, None, return_loss=False)[0]
        return outputs[:, CONTEXT - 1 :].permute(0, 1, 4, 2, 3).float()

    def _run(self, frames: Tensor, fed: Tensor | None, *, return_loss: bool) -> Any:
        last = frames.permute(0, 1, 3, 4, 2)
        mask = torch.zeros_like(last[:, CONTEXT:-1])
        if fed is not None:
            mask += fed[:, :, None, None, None]
        with torch.autocast(frames.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.network(last, mask, return_loss=return_loss)


def _model(root: Path) -> Any:
    """Load two files alone, without everything that their package imports."""
    sys.modules["openstl"] = ModuleType("openstl")
    _load("openstl.modules", root / "openstl/modules/convlstm_modules.py")
    return _load("openstl.models", root / "openstl/models/convlstm_model.py").ConvLSTM_Model


def _load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
