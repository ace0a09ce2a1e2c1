"""A trained network and all it takes to use it, in one safetensors file that describes itself."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from convlstm.errors import BadInput
from convlstm.files import from_text, replacing, to_text
from convlstm.network import Architecture, Network
from convlstm.patches import Geometry
from convlstm.scaling import Scaling

FORMAT = "convlstm-1"


@dataclass(frozen=True)
class Model:
    """A network with the geometry and scaling of the frames that it was trained on.

    `context_frames` and `forecast_frames` are those of training; `params` is the whole of what it
    was trained with, for the record.
    """

    network: Network
    geometry: Geometry
    scaling: Scaling
    context_frames: int
    forecast_frames: int
    params: dict[str, Any]

    @torch.no_grad()
    def rollout(
        self, context: Float[np.ndarray, "batch time channel row col"], leads: int
    ) -> Float[np.ndarray, "batch {leads} channel row col"]:
        """The next `leads` frames after the context, in free operation; values in [0, 1].

        The forecast is not clipped: FMAE is defined before clipping.
        """
        folded = torch.from_numpy(self.geometry.fold(context)).to(
            next(self.network.parameters()).device
        )
        return self.geometry.unfold(self.network.rollout(folded, leads).cpu().numpy())


def save(path: Path, model: Model) -> None:
    """Write the weights, and all else as one JSON text in the metadata.

    One text, because safetensors writes several in an order that changes from run to run.
    """
    facts = {
        "format": FORMAT,
        "architecture": asdict(model.network.architecture),
        "geometry": asdict(model.geometry),
        "scaling": asdict(model.scaling),
        "context_frames": model.context_frames,
        "forecast_frames": model.forecast_frames,
        "params": model.params,
    }
    weights = {
        name: weight.detach().cpu().contiguous()
        for name, weight in model.network.state_dict().items()
    }
    with replacing(path) as temporary:
        save_file(weights, temporary, metadata={"description": to_text(facts)})


def load(path: Path, device: torch.device) -> Model:
    """Read a model that `save` wrote; nothing in the file is run.

    Raises:
        BadInput: the file is missing or no model of ours.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; `dvc repro` trains a model")
    try:
        with safe_open(path, framework="pt") as file:
            facts = from_text((file.metadata() or {})["description"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}, not {FORMAT}")
        network = Network(Architecture(**facts["architecture"]))
        network.load_state_dict(weights)
        return Model(
            network.to(device).eval(),
            Geometry(**facts["geometry"]),
            Scaling(**facts["scaling"]),
            context_frames=facts["context_frames"],
            forecast_frames=facts["forecast_frames"],
            params=facts["params"],
        )
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{path}: no model of this project ({reason}); train one with `dvc repro`"
        ) from None
