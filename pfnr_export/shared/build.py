"""Building the shared graph of a library and the inputs of each session.

Everything goes through the layers and passes of the per-video exporter, run on other values:

- The graph is that of a session that uses every weight used by any session, with zeros elsewhere.
- A session's masks are its weights when all shared weights are 1, so a layer or pass that reorders a weight's
  channels reorders the mask too.
- A session's private tensors (stem table, head) are those of its per-video decoder.

Then the proof: masked, the graph's weights are bit for bit those of the per-video decoder, and nothing else
in the graph differs from it. A lowering that computes with weights instead of storing them cannot be used.

Generations. The graph of generation k holds the weights that sessions 0 to k use. Frozen weights never change, so
it depends only on those sessions, and has the same bytes whenever it is exported. If session k uses only weights
that earlier ones use, generation k is generation k − 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from pfnr_export.checks import choose_checks
from pfnr_export.emit import as_model, emit_graph
from pfnr_export.graph import IR_VERSION, OPSET, Graph
from pfnr_export.lowerings import AUTO, LOWERINGS, Lowering, choose_lowering
from pfnr_export.materialise import materialise
from pfnr_export.passes import SHARED_PASSES, run_passes
from pfnr_export.shared.graphs import Notes, SharedGraph
from pfnr_runtime import __version__
from pfnr_runtime.artifact.contract import (
    MASK_SUFFIX,
    OUTPUT_KINDS,
    ArtifactContract,
    SharedContract,
    graph_digest,
)
from pfnr_runtime.artifact.sidecar import SidecarRecord
from pfnr_runtime.errors import UsageError, VerificationError
from pfnr_train.library.library import Library
from pfnr_train.model.network import SessionWeights

PRECISION = "fp32"
_MASKABLE = {name: lowering for name, lowering in LOWERINGS.items() if lowering.stores_weights}


@dataclass(frozen=True)
class SharedOptions:
    """Options of a shared graph. fourier: a lowering's name or `auto`. output: a key of `OUTPUT_KINDS`.

    checks: names of `pfnr_export.checks.CHECKS` to run on the graph, in addition to the static one.
    """

    fourier: str = AUTO
    output: str = "uint8"
    checks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.output not in OUTPUT_KINDS:
            raise UsageError(f"output {self.output!r} is none of {', '.join(OUTPUT_KINDS)}")
        choose_lowering(self.fourier)
        choose_checks(self.checks)
        if not self.lowering.stores_weights:
            raise UsageError(
                f"the Fourier lowering {self.fourier!r} computes with a session's weights, so its masks cannot be "
                f"inputs of a shared graph; use the lowering {next(iter(_MASKABLE))}, or export one by one"
            )

    @property
    def lowering(self) -> type[Lowering]:
        """The lowering; `auto` is the first that stores the weights as they are, so that masks apply to them."""
        return next(iter(_MASKABLE.values())) if self.fourier == AUTO else LOWERINGS[self.fourier]


@dataclass(frozen=True)
class Generation:
    """The graph after one more session.

    - added: weights of the network that no earlier session uses, 0 where the graph stayed the same.
    - digests: of all distinct graphs so far, oldest first, including this one.
    - passes: by name.
    - weights: of that session.
    """

    session: int
    weights: SessionWeights
    added: int
    digests: tuple[str, ...]
    passes: tuple[str, ...]
    graph: onnx.GraphProto


@dataclass(frozen=True)
class SessionInputs:
    """A session's inputs to the graph, and its sidecar's record. masks: packed bits; tensors: float32; both by
    input name.
    """

    record: SidecarRecord
    masks: dict[str, NDArray[np.uint8]]
    tensors: dict[str, NDArray[np.float32]]


def generations(library: Library, last: int, options: SharedOptions) -> Iterator[Generation]:
    """The graph after each of the sessions 0 to `last`, in order."""
    for index, each in enumerate(library.sessions[: last + 1]):
        if not each.values.uses_pool:
            raise UsageError(
                f"session {index} ({each.record.video.name}) has {each.values.kind} values, all of them its own: "
                "there is nothing to share, and its own files are small; export it with pfnr-export"
            )
    used = {name: np.zeros(w.shape, np.bool_) for name, w in library.weights.items()}
    generation: Generation | None = None
    for k in range(last + 1):
        session, added = library.session_weights(k), 0
        for name, mask in session.masks.items():
            added += int(np.count_nonzero(mask.numpy() & ~used[name]))
            used[name] |= mask.numpy()
        if generation is None or added:
            union = replace(session, masks={name: torch.from_numpy(mask) for name, mask in used.items()})
            passes, graph = _write(union, SharedGraph(), options)
            digest = graph_digest(IR_VERSION, OPSET, graph.SerializeToString(deterministic=True))
            # Weights added only to the stem's first layer are in the session's table, not in the graph.
            if generation is None or digest != generation.digests[-1]:
                digests = () if generation is None else generation.digests
                yield (generation := Generation(k, session, added, (*digests, digest), passes, graph))
                continue
        yield (generation := replace(generation, session=k, weights=session, added=0))


def shared_model(library: Library, generation: Generation, options: SharedOptions) -> onnx.ModelProto:
    """The file of a generation: its graph with the contract."""
    width, height = library.config.size
    contract = SharedContract(
        width=width,
        height=height,
        output=options.output,
        precision=PRECISION,
        lowering=_lowering_name(library, options),
        passes=generation.passes,
        graph_sha256=generation.digests[-1],
        extends=generation.digests[:-1],
        producer=f"pfnr {__version__}",
    )
    return as_model(generation.graph, contract.to_text())


def _record(library: Library, generation: Generation, options: SharedOptions) -> SidecarRecord:
    record = library.sessions[generation.session].record
    contract = ArtifactContract(
        video=record.video,
        session=generation.session,
        output=options.output,
        precision=PRECISION,
        lowering=_lowering_name(library, options),
        passes=generation.passes,
        weights_sha256=record.weights_sha256,
        quality=record.quality(),
        producer=f"pfnr {__version__}",
        kind="session",
    )
    return SidecarRecord(contract, generation.digests[-1], generation.digests[:-1])


def session_inputs(library: Library, generation: Generation, options: SharedOptions) -> SessionInputs:
    """The inputs of the generation's session, proved to give its per-video decoder's weights."""
    session = generation.weights
    real, kept = Notes(), Notes()
    _write(session, real, options)
    ones = {name: torch.ones_like(weight) for name, weight in session.weights.items()}
    _write(replace(session, weights=ones), kept, options)
    stored = {tensor.name: tensor for tensor in generation.graph.initializer}
    masks = {name: kept.weights[name] != 0 for name in real.weights}
    for name, value in real.weights.items():
        masked = np.where(masks[name], numpy_helper.to_array(stored[name]), np.float32(0))
        if not np.array_equal(masked.view(np.uint32), value.view(np.uint32)):
            raise VerificationError(
                f"session {generation.session}: {name} is not the shared weight under its mask"
            )
    for notes in (real, kept):
        for name, tensor in notes.initializers.items():
            if stored.get(name) != tensor:
                raise VerificationError(f"session {generation.session}: {name} is not the same for every session")
    packed = {name + MASK_SUFFIX: np.packbits(mask) for name, mask in masks.items()}
    return SessionInputs(_record(library, generation, options), packed, real.owned)


def _write(
    session: SessionWeights, graph: Graph, options: SharedOptions
) -> tuple[tuple[str, ...], onnx.GraphProto]:
    """Write the decoder of a session into an empty graph; returns the names of its passes too."""
    decoder, passes = run_passes(materialise(session, options.lowering), SHARED_PASSES)
    width, height = session.config.size
    return passes, emit_graph(decoder, graph, options.output, (height, width))


def _lowering_name(library: Library, options: SharedOptions) -> str:
    return options.lowering.name if library.config.fourier is not None else "none"
