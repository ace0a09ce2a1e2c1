"""Loads the ConvLSTM of a checkout of OpenSTL, to measure it beside ours; its code is not here."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from .sizes import CONTEXT, FRAMES, Size


class OpenSTL:
    """Its network at one size as it is shipped, in float32, with a call per gate map and step."""

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

    def loss(self, frames: Tensor) -> Tensor:
        """Return the loss of a step in free operation on (batch, time, channel, row, col)."""
        loss: Tensor = self._run(frames, return_loss=True)[1]
        return loss

    def forecast(self, frames: Tensor) -> None:
        """Forecast the same without loss and gradients."""
        with torch.no_grad():
            self._run(frames, return_loss=False)

    def _run(self, frames: Tensor, *, return_loss: bool) -> Any:
        last = frames.permute(0, 1, 3, 4, 2)
        mask = torch.zeros_like(last[:, CONTEXT:-1])
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
