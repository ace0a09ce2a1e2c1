"""A trained network and all it takes to use it, in one safetensors file that describes itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from convlstm.model import memory
from convlstm.model.device import rollout_precision
from convlstm.model.network import Architecture, Network
from convlstm.params.groups import Reading, Values
from convlstm.patch.folding import Geometry
from convlstm.patch.scaling import Scaling
from convlstm.runtime.errors import BadInput
from convlstm.runtime.files import from_text, replacing, to_text

FORMAT = "convlstm-2"
LARGEST_HEADER_BYTES = 2**20  # a hundred times that of a network with a hundred layers


@dataclass(frozen=True)
class Model:
    """A network with the geometry and scaling of the frames that it was trained on.

    `reading` are the params by which the raw frames were read (`params.Reading`); `context_frames`
    and `forecast_frames` are those of training; `params` is the whole of what it was trained with,
    for the record.
    """

    network: Network
    geometry: Geometry
    scaling: Scaling
    reading: dict[str, Any]
    context_frames: int
    forecast_frames: int
    params: dict[str, Any]

    @torch.no_grad()
    def rollout(
        self, context: Float[np.ndarray, "batch time channel row col"], leads: int
    ) -> Float[np.ndarray, "batch {leads} channel row col"]:
        """The next `leads` frames after the context, in free operation; values in [0, 1].

        The forecast is not clipped: FMAE is defined before clipping. Frames of another size than in
        training need an architecture that takes any size. The convolutions are in float32, or in
        bfloat16 if that is the `precision` in `params`.

        Raises:
            NoRoom: the memory is too small.
        """
        batch, rows, cols = (context.shape[axis] for axis in (0, -2, -1))
        geometry = replace(self.geometry, rows=rows, cols=cols)
        device = next(self.network.parameters()).device
        size = f"{batch} windows of {rows} x {cols} pixels"
        with memory.told(device, size, lower="tile_size or hidden_channels"):
            folded = torch.from_numpy(geometry.fold(context)).to(device)
            dtype = rollout_precision(self.params.get("precision"), device)
            return geometry.unfold(self.network.rollout(folded, leads, dtype).cpu().numpy())


def save(path: Path, model: Model) -> None:
    """Write the weights, and all else as one JSON text in the metadata.

    One text, because safetensors writes several in an order that changes from run to run.
    """
    facts = {
        "format": FORMAT,
        "architecture": asdict(model.network.architecture),
        "geometry": asdict(model.geometry),
        "scaling": asdict(model.scaling),
        "reading": model.reading,
        "context_frames": model.context_frames,
        "forecast_frames": model.forecast_frames,
        "params": model.params,
    }
    weights = {
        name: weight.detach().cpu().contiguous()
        for name, weight in model.network.state_dict().items()
    }
    facts["sha256"] = _checksum(facts, weights)
    content = to_bytes(weights, metadata={"description": to_text(facts)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load(path: Path, device: torch.device) -> Model:
    """Read a model that `save` wrote; nothing in the file is run.

    Raises:
        BadInput: the file is missing, damaged or no model of ours.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; `dvc repro` trains a model")
    try:
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            facts = from_text((file.metadata() or {})["description"])
            if facts["format"] != FORMAT:
                raise ValueError(f"format {facts['format']}, not {FORMAT}")
            network = _network(file, Architecture(**facts["architecture"]))
        if facts.pop("sha256") != _checksum(facts, network.state_dict()):
            raise ValueError("damaged: its checksum is wrong")
        network = network.to(device).eval()
        geometry = Geometry(**facts["geometry"])
        a = network.architecture
        if geometry.folded_shape != (a.channels, a.rows, a.cols):
            raise ValueError(f"{geometry} does not fit {a}")
        Values.model_validate(facts["scaling"])
        Reading.model_validate(facts["reading"])
        if not isinstance(facts["params"], dict):
            raise ValueError("params that are no mapping")
        return Model(
            network,
            geometry,
            Scaling(**facts["scaling"]),
            facts["reading"],
            context_frames=_count(facts["context_frames"]),
            forecast_frames=_count(facts["forecast_frames"]),
            params=facts["params"],
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{path}: no model of this project ({reason}); train one with `dvc repro`"
        ) from None


def _checksum(facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that a model file says."""
    seen = sha256(to_text(facts).encode())
    for name in sorted(weights):
        seen.update(weights[name].numpy().data)
    return seen.hexdigest()


def _check_header(path: Path) -> None:
    """The length that a safetensors file begins with; the library would take memory for it."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER_BYTES:
        raise ValueError(f"its header is {length:,} bytes long")


def _network(file: Any, architecture: Architecture) -> Network:
    """The network with the file's weights, whose shapes are checked before memory is taken.

    A file from elsewhere may name any architecture; a tensor of it is never larger than the file.
    """
    names = set(file.keys())
    if len(architecture.hidden_channels) > len(names):
        raise ValueError("more layers than weights")
    with torch.device("meta"):
        network = Network(architecture)
    needed = {name: list(weight.shape) for name, weight in network.state_dict().items()}
    if names != set(needed):
        raise ValueError(f"weights {sorted(names ^ set(needed))[:3]} do not belong together")
    for name, shape in needed.items():
        if file.get_slice(name).get_shape() != shape:
            raise ValueError(f"weight {name} is not of shape {shape}")
    weights = {name: file.get_tensor(name).float() for name in names}
    network.load_state_dict(weights, assign=True)
    return network


def _count(number: object) -> int:
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"{number!r} frames")
    return number
