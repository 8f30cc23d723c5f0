"""A model with one more output: a value inside its graph."""

from __future__ import annotations

from pfnr_runtime.artifact.onnx.wire import write_message, write_varint

GRAPH, OUTPUT = 7, 12  # numbers of fields in ModelProto and GraphProto
FLOAT = 1  # ONNX's number of the element type


def with_output(model: bytes, name: str) -> bytes:
    """An .onnx in which the float32 value `name` is also an output of the graph.

    Engines merge a graph that is given twice, as protobuf says, so the rest stays where it is. The bytes are for
    them: the reader of this project refuses a second graph.
    """
    kind = write_message(1, write_varint(1, FLOAT))
    value = write_message(1, name.encode()) + write_message(2, kind)
    return model + write_message(GRAPH, write_message(OUTPUT, value))
