"""A strict summary of an ONNX file, read without onnx, without protobuf and without loading weights.

`summarise(path)` maps the file into memory and walks its structure: versions, metadata, graph inputs and outputs,
operators, and the name, type, shape and size of every stored tensor. Anything truncated, contradictory or outside
the subset a decoder needs (external data, subgraphs, functions, sparse tensors) is an ArtifactError, so that no
engine ever sees it.

Written by hand, because a playback install has no onnx package, and onnx would load all of a file before a check.
"""

from __future__ import annotations

import mmap
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pfnr_runtime.artifact.onnx.attribute import Attribute, read_attribute
from pfnr_runtime.artifact.onnx.tensor import MAX_RANK, TensorInfo, dtype_name, read_tensor
from pfnr_runtime.artifact.onnx.wire import Field, Reader, Span, WireError
from pfnr_runtime.errors import ArtifactError

# protobuf messages end at 2 GiB, so a larger file cannot be a single-file ONNX model.
MAX_FILE_BYTES = (1 << 31) - 1


class ValueInfo(NamedTuple):
    """A graph input or output. shape: sizes, names of dynamic sizes, or None where unspecified."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        sizes = ("?" if d is None else _on_one_line(str(d)) for d in self.shape)
        return f"{_on_one_line(self.name)}: {self.dtype} [{', '.join(sizes)}]"


class NodeInfo(NamedTuple):
    """One node of the graph.

    - op_type: the operator.
    - domain: '' is ONNX's own.
    - inputs, outputs: names of values; '' for one that is left out.
    - attributes: by name.
    """

    op_type: str
    domain: str
    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = MappingProxyType({})


class OnnxSummary(NamedTuple):
    """What an ONNX file contains, without its weights.

    - opsets: version by domain.
    - metadata: the model's key-value pairs.
    - initializers: the stored tensors.
    - constants: tensors held by nodes.
    """

    ir_version: int
    producer: str
    opsets: dict[str, int]
    metadata: dict[str, str]
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    nodes: tuple[NodeInfo, ...]
    initializers: tuple[TensorInfo, ...]
    constants: tuple[TensorInfo, ...]

    @property
    def weights_bytes(self) -> int:
        """Bytes of all stored tensors."""
        return sum(t.nbytes for t in self.initializers + self.constants)

    @property
    def operators(self) -> dict[str, int]:
        """How many nodes of each operator, most frequent first; foreign domains as 'domain::Op'."""
        names = (f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in self.nodes)
        return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _on_one_line(name: str) -> str:
    """A name for a message; one that would break the line, as a damaged file may have, with escapes."""
    return name if name.isprintable() else ascii(name)


def summarise(path: str | Path) -> OnnxSummary:
    """Read the structure of the ONNX file at `path`; an ArtifactError says what is wrong with it."""
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{path}: not a file; name the .onnx file that pfnr-export wrote")
        if status.st_size == 0:
            raise ArtifactError(f"{path}: the file is empty; export or copy it again")
        if status.st_size > MAX_FILE_BYTES:
            raise ArtifactError(
                f"{path}: {status.st_size} bytes, and an ONNX file has at most {MAX_FILE_BYTES}; "
                "export the session again"
            )
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return parse_model(Reader(data))
    except WireError as error:
        raise ArtifactError(
            f"{path}: not an ONNX file, or a damaged one: {error}; copy or export it again"
        ) from None
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; check the path") from None
    except PermissionError:
        raise ArtifactError(f"{path}: permission denied; make the file readable") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); check the path and the disk") from None


def summarise_bytes(model: bytes, path: Path) -> OnnxSummary:
    """As `summarise`, of an ONNX model in memory. path: where it came from, for messages."""
    try:
        return parse_model(Reader(model))
    except WireError as error:
        raise ArtifactError(f"{path}: holds no valid ONNX model: {error}; copy or export it again") from None


def parse_model(reader: Reader) -> OnnxSummary:
    """The summary of a ModelProto; a WireError where it is malformed or outside the accepted subset."""
    ir_version, producer = 0, ["", ""]
    opsets: dict[str, int] = {}
    metadata: dict[str, str] = {}
    graph: GraphSummary | None = None
    for item in reader.whole().fields():
        match item.number:
            case 1:
                ir_version = item.integer()
            case 2 | 3:
                producer[item.number - 2] = item.text()
            case 7:
                if graph is not None:
                    raise WireError("a second graph", item.span.start)
                graph = GraphSummary(item.message())
            case 8:
                domain, version = _opset(item.message())
                opsets[domain] = version
            case 14:
                key, value = _pair(item.message())
                if key in metadata:
                    raise WireError(f"metadata {key!r} given twice", item.span.start)
                metadata[key] = value
            case 20 | 25:
                what = "training information" if item.number == 20 else "local functions"
                raise WireError(f"{what}, which a decoder does not have,", item.span.start)
    if not 1 <= ir_version <= 100:
        raise WireError(f"the header of another kind of file (IR version {ir_version})", 0)
    if graph is None:
        raise WireError("the file ends before its graph", reader.whole().end)
    return OnnxSummary(
        ir_version,
        " ".join(part for part in producer if part),
        opsets,
        metadata,
        tuple(graph.inputs),
        tuple(graph.outputs),
        tuple(graph.nodes),
        tuple(graph.initializers),
        tuple(graph.constants),
    )


class GraphSummary:
    """The parts of a GraphProto that the runtime checks, gathered in one pass."""

    def __init__(self, span: Span) -> None:
        self.nodes: list[NodeInfo] = []
        self.constants: list[TensorInfo] = []
        self.initializers: list[TensorInfo] = []
        self.inputs: list[ValueInfo] = []
        self.outputs: list[ValueInfo] = []
        for item in span.fields():
            match item.number:
                case 1:
                    self._node(item.message())
                case 5:
                    self.initializers.append(read_tensor(item.message()))
                case 11:
                    self.inputs.append(_value_info(item.message()))
                case 12:
                    self.outputs.append(_value_info(item.message()))
                case 15:
                    raise WireError("a sparse tensor, which a decoder does not have,", item.span.start)

    def _node(self, span: Span) -> None:
        op_type = domain = name = ""
        inputs, outputs = [], []
        attributes: dict[str, Attribute] = {}
        for item in span.fields():
            match item.number:
                case 1:
                    inputs.append(item.text())
                case 2:
                    outputs.append(item.text())
                case 3:
                    name = item.text()
                case 4:
                    op_type = item.text()
                case 7:
                    domain = item.text()
                case 5:
                    key, value, tensors = read_attribute(item.message())
                    if key in attributes:
                        raise WireError(f"attribute {key!r} given twice", item.span.start)
                    attributes[key] = value
                    self.constants.extend(tensors)
        if not op_type:
            raise WireError("a node without an operator", span.start)
        domain = "" if domain == "ai.onnx" else domain
        self.nodes.append(NodeInfo(op_type, domain, name, tuple(inputs), tuple(outputs), attributes))


def _value_info(span: Span) -> ValueInfo:
    name, dtype = "", ""
    shape: tuple[int | str | None, ...] | None = None
    for item in span.fields():
        if item.number == 1:
            name = item.text()
        elif item.number == 2:
            for kind in item.message().fields():
                if kind.number in (4, 5, 8, 9):
                    raise WireError(f"graph value {name!r} is not a plain tensor", kind.span.start)
                if kind.number == 1:
                    dtype, shape = _tensor_type(kind.message())
    if not name or not dtype or shape is None:
        raise WireError(f"graph value {name!r} without a name, type or shape", span.start)
    return ValueInfo(name, dtype, shape)


def _tensor_type(span: Span) -> tuple[str, tuple[int | str | None, ...] | None]:
    dtype = ""
    shape: list[int | str | None] | None = None
    for item in span.fields():
        if item.number == 1:
            dtype = dtype_name(item.integer(), span.start)
        elif item.number == 2:
            shape = [_dimension(d) for d in item.message().fields() if d.number == 1]
            if len(shape) > MAX_RANK:
                raise WireError(f"a graph value of rank {len(shape)} (at most {MAX_RANK})", span.start)
    return dtype, None if shape is None else tuple(shape)


def _dimension(item: Field) -> int | str | None:
    size: int | str | None = None
    for part in item.message().fields():
        if part.number == 1:
            size = part.integer()
            if not 0 <= size < 1 << 40:
                raise WireError(f"a graph value of size {size}", part.span.start)
        elif part.number == 2:
            size = part.text()
    return size


def _opset(span: Span) -> tuple[str, int]:
    domain, version = "", 0
    for item in span.fields():
        if item.number == 1:
            domain = item.text()
        elif item.number == 2:
            version = item.integer()
    return "" if domain == "ai.onnx" else domain, version


def _pair(span: Span) -> tuple[str, str]:
    texts = {item.number: item.text() for item in span.fields() if item.number in (1, 2)}
    return texts.get(1, ""), texts.get(2, "")
