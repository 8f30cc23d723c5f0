"""ONNX Runtime sessions set as the runtime sets its own, but for one option: light enough to weigh by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pfnr_runtime.artifact.contract import INPUT_NAME, OUTPUT_NAME

RUNTIME = "the runtime"
# What is changed, by row: attributes of SessionOptions, its configuration entries, and those of a run.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str]]] = {
    "memory pattern on (ONNX Runtime's default)": ({"enable_mem_pattern": True}, {}, {}),
    "no memory arena": ({"enable_cpu_mem_arena": False}, {}, {}),
    "arena shrunk after every run": ({}, {}, {"memory.enable_memory_arena_shrinkage": "cpu:0"}),
    "weights not prepacked": ({}, {"session.disable_prepacking": "1"}, {}),
    "weights outside the arena": ({}, {"session.use_device_allocator_for_initializers": "1"}, {}),
    "model given as bytes": ({}, {}, {}),
}


def contender(path: str, threads: int, variant: str | None) -> Any:
    """What decodes a frame by number, in a session set as the runtime sets its own but for `variant`."""
    import onnxruntime as ort

    options, run = ort.SessionOptions(), ort.RunOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute, options.enable_mem_pattern = True, False
    options.log_severity_level = 3
    attributes, entries, run_entries = VARIANTS.get(variant or "", ({}, {}, {}))
    for name, value in attributes.items():
        setattr(options, name, value)
    for name, value in ({"session.intra_op.allow_spinning": "0"} | entries).items():
        options.add_session_config_entry(name, value)
    for name, value in run_entries.items():
        run.add_run_config_entry(name, value)
    model: Any = Path(path).read_bytes() if variant == "model given as bytes" else path
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    del model
    return lambda index: session.run([OUTPUT_NAME], {INPUT_NAME: np.array([index], np.int64)}, run)[0]
