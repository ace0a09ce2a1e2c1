"""The model file: a trained network and all it takes to use it, as safetensors with JSON inside."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from convlstm.model.device import explain_out_of_memory, forecast_dtype
from convlstm.model.network import Architecture, Network
from convlstm.model.noise import draw_noise
from convlstm.patch.folding import Geometry, fold
from convlstm.patch.scaling import Scaling, Values
from convlstm.runtime.errors import BadInput, NonFinite
from convlstm.runtime.files import from_text, replacing, to_text
from convlstm.storage.meaning import Quantity
from convlstm.version import VERSION

FORMAT = "convlstm-7"  # of the metadata; CHANGELOG.md says which version wrote which
PIXELS_TOGETHER = 2**22  # of members that are forecast at a time, in 1 GB of memory
LARGEST_HEADER_BYTES = 2**20  # a hundred times that of a network with a hundred layers


@dataclass(frozen=True)
class Model:
    """A network with the geometry and scaling of the frames that it was trained on.

    `quantities` name the channels, with their units; `reading` are the params by which the raw
    frames were read; `context_frames` and `forecast_frames` are those of training. For the record,
    `params` are all params of training, and `training_precision` is that of its convolutions.
    """

    network: Network
    geometry: Geometry
    scaling: Scaling
    quantities: tuple[Quantity, ...]
    reading: dict[str, Any]
    context_frames: int
    forecast_frames: int
    params: dict[str, Any]
    training_precision: str

    def rollout(
        self,
        context: Float[Tensor, "batch known channel row col"],
        mask: Bool[Tensor, "batch known channel row col"],
        leads: int,
        members: int = 1,
        seed: int = 0,
    ) -> Float[Tensor, "{members} batch {leads} channel row col"]:
        """Forecast freely the `leads` frames after the context; folded, on the CPU.

        It is `ensemble`, with all members at once.

        With the readout `frame` the forecast is not clipped to [0, 1], because FMAE is defined
        before clipping. Frames of another size than in training need an architecture that takes any
        size. The convolutions are in float32, or in bfloat16 if that is the `precision` in
        `params`.
        """
        return torch.cat([*self.ensemble(context, mask, leads, members, seed)])

    def ensemble(
        self,
        context: Float[Tensor, "batch known channel row col"],
        mask: Bool[Tensor, "batch known channel row col"],
        leads: int,
        members: int,
        seed: int,
    ) -> Iterator[Float[Tensor, "member batch {leads} channel row col"]]:
        """Yield the members of a free forecast, some at a time; folded, on the CPU.

        Args:
            context: folded frames in [0, 1].
            mask: of measured pixels.
            leads: the number of lead times.
            members: 1 is the forecast without noise.
            seed: of the noise; decides the members of a batch.

        Raises:
            NoRoom: the memory is too small.
        """
        batch, p = len(context), self.geometry.patch_size
        rows, cols = (size * p for size in context.shape[-2:])
        together = max(1, PIXELS_TOGETHER // (batch * leads * rows * cols))
        generator = torch.Generator().manual_seed(seed)
        white = draw_noise(members, (batch, leads, rows, cols), generator, together)
        parts = self._folded(context, mask, leads, white)
        device = next(self.network.parameters()).device
        size = f"{batch} windows of {rows} x {cols} pixels"
        for _ in range(0, members, together):
            # Not around the loop, because what stands around a `yield` holds for the caller too.
            with (
                torch.no_grad(),
                explain_out_of_memory(device, size, lower="steps, tile_size or hidden_channels"),
            ):
                some = next(parts)
            yield some

    def _folded(
        self,
        context: Float[Tensor, "batch known channel row col"],
        mask: Bool[Tensor, "batch known channel row col"],
        leads: int,
        white: Iterator[Float[Tensor, "member batch {leads} pixelrow pixelcol"]],
    ) -> Iterator[Float[Tensor, "member batch {leads} channel row col"]]:
        """Yield folded members of either kind of readout, on the CPU."""
        device = next(self.network.parameters()).device
        dtype = forecast_dtype(self.params.get("precision"), device)
        context, mask = context.to(device), mask.to(device)
        if self.network.cascade is None:
            yield self.network.rollout(context, leads, dtype).cpu()[None]
            return
        for part in self.network.ensemble(context, mask, leads, white, dtype):
            yield fold(part, self.geometry.patch_size).cpu()


def save(path: Path, model: Model) -> None:
    """Write the weights, and all else with the version of this code as JSON in the metadata.

    It is one text, because safetensors writes several in an order that changes from run to run.

    Raises:
        NonFinite: a weight is infinite or not a number.
    """
    about = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": asdict(model.network.architecture),
        "geometry": asdict(model.geometry),
        "scaling": asdict(model.scaling),
        "quantities": model.quantities,
        "reading": model.reading,
        "context_frames": model.context_frames,
        "forecast_frames": model.forecast_frames,
        "params": model.params,
        "training_precision": model.training_precision,
    }
    weights = {
        name: weight.detach().cpu().contiguous()
        for name, weight in model.network.state_dict().items()
    }
    if (broken := _broken(weights)) is not None:
        raise NonFinite(f"{path}: not written, because {broken}; lower lr or gradient_clip")
    about["sha256"] = _checksum(about, weights)
    content = to_bytes(weights, metadata={"description": to_text(about)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load(path: Path, device: torch.device) -> Model:
    """Read a model that `save` wrote; nothing in the file is executed.

    Raises:
        BadInput: the file is missing, damaged or not a model of this project, or a weight is
            infinite or not a number.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; `dvc repro` trains a model")
    try:
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            about = from_text((file.metadata() or {})["description"])
            if about["format"] != FORMAT:
                writer = f"written by version {about.get('version', '0.1')}"
                raise ValueError(f"format {about['format']}, {writer}, not {FORMAT}")
            network = _network(file, Architecture(**about["architecture"]))
        if about.pop("sha256") != _checksum(about, network.state_dict()):
            raise ValueError("damaged: its checksum is wrong")
        if (broken := _broken(network.state_dict())) is not None:
            raise ValueError(broken)
        return _model(network.to(device).eval(), about)
    except PermissionError:  # no reason to train another
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{path}: no model of this project ({reason}); train one with `dvc repro`"
        ) from None


def _model(network: Network, about: Mapping[str, Any]) -> Model:
    """Check the metadata of a file and put it beside its network."""
    geometry, a = Geometry(**about["geometry"]), network.architecture
    if geometry.folded_shape != (a.channels, a.rows, a.cols):
        raise ValueError(f"{geometry} does not fit {a}")
    for name in ("params", "reading"):
        if not isinstance(about[name], dict):
            raise ValueError(f"{name} that are no mapping")
    return Model(
        network,
        geometry,
        _scaling(about["scaling"], geometry.channels),
        _quantities(about["quantities"], geometry.channels),
        about["reading"],
        context_frames=_count(about["context_frames"]),
        forecast_frames=_count(about["forecast_frames"]),
        params=about["params"],
        training_precision=str(about["training_precision"]),
    )


def _scaling(content: object, channels: int) -> Scaling:
    """Check the scaling of a file, which has a range and a transform for each channel."""
    try:
        scaling = Values.model_validate(content).scaling(channels)
    except BadInput as error:
        raise ValueError(str(error)) from None
    return scaling


def _quantities(content: object, channels: int) -> tuple[Quantity, ...]:
    """Check the quantities of a file, which are all its channels in their order."""
    if not isinstance(content, tuple):
        raise ValueError("quantities that are no list")
    found = tuple(Quantity(*own) for own in content)
    ends = [0, *(own.stop for own in found)]
    if [own.first for own in found] != ends[:-1] or ends[-1] != channels:
        raise ValueError(f"quantities that are not the {channels} channels")
    for own in found:
        if not (isinstance(own.name, str) and isinstance(own.unit, str)):
            raise ValueError(f"a quantity of the name {own.name!r} in {own.unit!r}")
    return found


def _broken(weights: Mapping[str, Tensor]) -> str | None:
    """Return a line that names a weight which is no number to calculate with, if there is one."""
    names = (name for name, weight in weights.items() if not weight.isfinite().all())
    return next((f"{name} is infinite or not a number" for name in names), None)


def _checksum(about: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the metadata and of all weights."""
    seen = sha256(to_text(about).encode())
    for name in sorted(weights):
        seen.update(weights[name].numpy().data)
    return seen.hexdigest()


def _check_header(path: Path) -> None:
    """Check the length that a safetensors file begins with; the library would allocate as much."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER_BYTES:
        raise ValueError(f"its header is {length:,} bytes long")


def _network(file: Any, architecture: Architecture) -> Network:
    """Make the network with the file's weights, whose shapes are checked before memory is taken.

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
    if type(number) is not int or number < 1:  # True is an int
        raise ValueError(f"{number!r} frames")
    return number
