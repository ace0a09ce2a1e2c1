"""An ONNX file of a forecast: physical values in and out, with all it takes to use it in itself.

frames    (batch, time, channel, row, col), float32: as many as the model starts from; NaN, or the
          missing_value of training, where nothing was measured
steps     the number of frames to forecast, an int64 without axes; of the readout `frame` alone
forecast  (batch, lead, channel, row, col)

The readout `frame` takes any batch and number of steps, and with the cell convlstm any size of
frames. The readouts `motion` and `cascade` take the steps and the size of the export, one sequence
at a time, and forecast without noise.
"""

import logging
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.export import Dim

from convlstm.export.graph import Carried, Painted
from convlstm.model.model_file import Model
from convlstm.runtime.errors import BadInput
from convlstm.runtime.files import replacing, to_text
from convlstm.version import VERSION

OPSET = 20  # the first whose GridSample and dual of bicubic interpolation runtimes know
LEAD = "lead"


class Shape(NamedTuple):
    """The steps and the size of frames that an export is tied to; None where any is taken."""

    steps: int | None
    size: tuple[int, int] | None


def shape_of(model: Model, steps: int | None, size: tuple[int, int] | None) -> Shape:
    """Return what the export of a model is tied to; numbers of training, where none are given.

    Raises:
        BadInput: it takes any steps or size, but some are given, or is tied to those of training.
    """
    a, trained = model.network.architecture, (model.geometry.rows, model.geometry.cols)
    if steps is not None and steps < 1:
        raise BadInput(f"steps = {steps}: must be at least 1")
    if a.readout == "frame" and steps is not None:
        raise BadInput("--steps: an input of the file, since the readout frame takes any number")
    if not a.takes_any_size and size not in (None, trained):
        raise BadInput(f"--size: this {a.cell} model is tied to {trained[0]}x{trained[1]} pixels")
    if a.readout == "frame":
        if a.takes_any_size and size is not None:
            raise BadInput("--size: is not fixed, since the readout frame takes any size")
        return Shape(None, None if a.takes_any_size else trained)
    return Shape(steps or model.forecast_frames, size or trained)


def write(path: Path, model: Model, shape: Shape, about: dict[str, Any]) -> None:
    """Write the forecast of a model, in float32, as one file.

    Args:
        path: of the file.
        model: on the CPU.
        shape: of `shape_of`.
        about: what the file tells of itself, each as a text.

    Raises:
        BadInput: onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch needs it
    except ImportError:
        raise BadInput(
            "no onnx here; `python -m pip install onnx onnxscript`, the extra onnx"
        ) from None
    proto = _translated(model, shape)
    if shape.steps is None:
        _count_steps(proto)
    proto.producer_name, proto.producer_version = "convlstm", VERSION
    onnx.helper.set_model_props(
        proto, {key: own if isinstance(own, str) else to_text(own) for key, own in about.items()}
    )
    onnx.checker.check_model(proto)
    with replacing(path) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))


def _translated(model: Model, shape: Shape) -> Any:
    """Return the graph of a model as ONNX has it."""
    rows, cols = shape.size or (model.geometry.rows, model.geometry.cols)
    frames = torch.zeros(2, model.context_frames, model.geometry.channels, rows, cols)
    free = Dim.DYNAMIC
    sizes = {0: free} if shape.size else {0: free, 3: free, 4: free}
    module: nn.Module = Painted(model)
    inputs: tuple[torch.Tensor, ...] = (frames, torch.zeros(3))
    dynamic: dict[str, Any] | None = {"frames": sizes, LEAD: {0: free}}
    if shape.steps is not None:
        module, inputs, dynamic = Carried(model, shape.steps), (frames[:1],), None
    with torch.no_grad(), _quiet():
        if shape.steps is not None:
            # Once for real: what is kept for later calls would be without numbers otherwise.
            module.eval()(*inputs)
        program = torch.export.export(
            module, inputs, dynamic_shapes=dynamic, strict=shape.steps is None
        )
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=["frames", LEAD][: len(inputs)],
            output_names=["forecast"],
            verbose=False,
        )
    assert made is not None
    proto = made.model_proto
    for graph in (proto.graph, *proto.functions):
        _forget_places(graph)
    _name_axes(proto)
    return proto


def _name_axes(proto: Any) -> None:
    """Name the axes of any size of inputs and output, for which torch has numbers."""
    values = [*proto.graph.input, *proto.graph.output]
    frames, forecast = (own.type.tensor_type.shape.dim for own in (values[0], values[-1]))
    axes = {"batch": frames[0], "row": frames[3], "col": frames[4], LEAD: forecast[1]}
    # An axis of one size has no name, and would lose its size to one.
    names = {axis.dim_param: name for name, axis in axes.items() if axis.dim_param}
    for value in (*values, *proto.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in names:
                axis.dim_param = names[axis.dim_param]


def _forget_places(graph: Any) -> None:
    """Remove the lines of code and paths of this machine, of which torch keeps some per node."""
    for node in graph.node:
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.HasField("g"):  # the body of a loop
                _forget_places(attribute.g)


def _count_steps(proto: Any) -> None:
    """Put the number of steps into the place of the input that is as long as there are steps."""
    from onnx import TensorProto, helper, numpy_helper

    (lead,) = (own for own in proto.graph.input if own.name == LEAD)
    proto.graph.input.remove(lead)
    proto.graph.input.append(helper.make_tensor_value_info("steps", TensorProto.INT64, []))
    one = numpy_helper.from_array(torch.tensor([1]).numpy(), "one_axis")
    proto.graph.initializer.append(one)
    first = [
        helper.make_node("Reshape", ["steps", "one_axis"], ["steps_shape"]),
        helper.make_node("ConstantOfShape", ["steps_shape"], [LEAD]),
    ]
    rest = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*first, *rest])


class _quiet(warnings.catch_warnings):  # noqa: N801 - a context manager
    """Keep torch's remarks on its own export to itself during a block."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
