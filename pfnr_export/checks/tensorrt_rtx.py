"""Compiling a model with TensorRT-RTX on any machine: it can build engines for absent GPUs.

The model is parsed as a strongly typed network, where every layer has exactly the graph's types; the resulting
layers are compared with the graph's nodes, one by one, in kind and type. Then an engine is built for every
architecture in `TARGETS` with a batch profile. Without a GPU an engine cannot be opened or inspected, so the check
covers that it builds, and the network it is built from.
"""

from __future__ import annotations

import importlib
from collections import Counter
from typing import Any

import onnx
from onnx import TensorProto

from pfnr_export.checks.skeleton import type_name, value_types
from pfnr_runtime.artifact.contract import EMBEDDING_NAME, INPUT_NAME
from pfnr_runtime.errors import BackendError, PfnrError

TARGETS = ("SM86", "SM89", "SM120")
BATCHES = (1, 4, 8)  # minimum, optimum, maximum
# For dynamic sizes other than the batch, such as the rows of an input table.
OPEN_SIZES = (1, 128, 4096)

# Layer kinds that each operator may become. Others may become any layer of their type.
LAYERS = {
    "Conv": ("CONVOLUTION",),
    "ConvTranspose": ("DECONVOLUTION",),
    "MatMul": ("MATRIX_MULTIPLY",),
    "Gemm": ("MATRIX_MULTIPLY", "ELEMENTWISE"),
    "QuantizeLinear": ("QUANTIZE",),
    "DequantizeLinear": ("DEQUANTIZE",),
    "DepthToSpace": ("SHUFFLE",),
    "Gather": ("GATHER",),
    "Sigmoid": ("ACTIVATION",),
    "Tanh": ("ACTIVATION",),
    "Relu": ("ACTIVATION",),
    "Round": ("UNARY",),
    "Mul": ("ELEMENTWISE",),
    "Add": ("ELEMENTWISE",),
    "Concat": ("CONCATENATION",),
    "Where": ("SELECT",),
    "Cast": ("CAST", "IDENTITY"),
}
_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.INT8: "INT8",
    TensorProto.UINT8: "UINT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.BOOL: "BOOL",
}


class CompileError(PfnrError):
    """A model that TensorRT-RTX does not compile, or compiles to something else."""


def check_tensorrt_rtx(model: onnx.ModelProto, data: bytes, targets: tuple[str, ...] = TARGETS) -> dict[str, Any]:
    """Parse and compile a serialised model for `targets`; returns versions, layers by kind and type, and size.

    A BackendError where TensorRT-RTX is not installed, a CompileError naming the node otherwise.
    """
    trt = _load()
    log = _make_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(data):
        reasons = [parser.get_error(i) for i in range(parser.num_errors)]
        said = "; ".join(f"{r.node_name() or 'the model'}: {r.desc()}" for r in reasons[:3])
        raise CompileError(f"TensorRT-RTX {trt.__version__} does not parse the model: {said or log.last}")
    layers = compare_layers(model, network)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.add_optimization_profile(_profile(builder, network))
    config.num_compute_capabilities = len(targets)
    for position, target in enumerate(targets):
        config.set_compute_capability(getattr(trt.ComputeCapability, target), position)
    engine = builder.build_serialized_network(network, config)
    if engine is None or not engine.nbytes:
        raise CompileError(f"TensorRT-RTX {trt.__version__} does not compile the model: {log.last or 'no reason'}")
    return {
        "version": str(trt.__version__),
        "targets": list(targets),
        "batches": list(BATCHES),
        "engine_bytes": int(engine.nbytes),
        "layers": layers,
    }


def compare_layers(model: onnx.ModelProto, network: Any) -> dict[str, int]:
    """The number of layers of each kind and type, such as {'CONVOLUTION FLOAT': 5}.

    A CompileError names the first node whose layer is missing, of another kind, or gives another type.
    """
    types = value_types(model)
    found: dict[str, list[Any]] = {}
    for position in range(network.num_layers):
        layer = network.get_layer(position)
        # The parser names a layer after its node, and a node's further layers in their metadata.
        names = {layer.name, layer.metadata.removeprefix("[ONNX Layer: ").removesuffix("]")}
        for name in names:
            found.setdefault(name, []).append(layer)
    counts: Counter[str] = Counter()
    for node in model.graph.node:
        kind = types[node.output[0]][0]
        wanted, allowed = _TYPES.get(kind, ""), LAYERS.get(node.op_type)
        layers = found.get(node.name, [])
        if allowed is None:
            continue
        layers = [layer for layer in layers if layer.type.name in allowed]
        if not layers:
            kinds = ", ".join(sorted({layer.type.name for layer in found.get(node.name, [])})) or "no layer"
            raise CompileError(
                f"node {node.name!r} ({node.op_type}) became {kinds} in TensorRT-RTX, not {' or '.join(allowed)}"
            )
        for layer in layers:
            got = layer.get_output_type(0).name
            if got != wanted:
                raise CompileError(
                    f"node {node.name!r} ({node.op_type}) gives {got} in TensorRT-RTX, and the graph says "
                    f"{type_name(kind)}"
                )
            counts[f"{layer.type.name} {got}"] += 1
    _compare_ends(model, network)
    return dict(sorted(counts.items()))


def _compare_ends(model: onnx.ModelProto, network: Any) -> None:
    ends = [network.get_input(i) for i in range(network.num_inputs)]
    ends += [network.get_output(i) for i in range(network.num_outputs)]
    got = {tensor.name: tensor.dtype.name for tensor in ends}
    for value in [*model.graph.input, *model.graph.output]:
        wanted = _TYPES.get(value.type.tensor_type.elem_type, "")
        if got.get(value.name) != wanted:
            raise CompileError(
                f"{value.name!r} is {got.get(value.name, 'missing')} in TensorRT-RTX, and the graph says "
                f"{type_name(value.type.tensor_type.elem_type)}"
            )


def _profile(builder: Any, network: Any) -> Any:
    profile = builder.create_optimization_profile()
    for position in range(network.num_inputs):
        tensor = network.get_input(position)
        if -1 not in tuple(tensor.shape):
            continue
        sizes = BATCHES if tensor.name in (INPUT_NAME, EMBEDDING_NAME) else OPEN_SIZES
        profile.set_shape(
            tensor.name, *(tuple(size if d == -1 else d for d in tuple(tensor.shape)) for size in sizes)
        )
    return profile


def _load() -> Any:
    try:
        return importlib.import_module("tensorrt_rtx")
    except (ImportError, OSError) as error:
        raise BackendError(
            f"the check tensorrt-rtx needs TensorRT-RTX ({error}); install it with: pip install 'pfnr[rtx]'"
        ) from None


def _make_log(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps the last error, prints nothing."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.last = " ".join(message.split())[:300]

    return Log()


CHECK = ("tensorrt-rtx", check_tensorrt_rtx)
