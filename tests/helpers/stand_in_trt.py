"""A stand-in for TensorRT's Python module, whose engines are ONNX files that ONNX Runtime runs on the CPU.

It answers to the names that the backend uses (`test_api_names` checks those against the real ones) and keeps
their rules: None or False where the real ones give that, a profile before a run, every address set, shapes
inside the profile. It proves the backend's own logic, from an artifact to frames; nothing about TensorRT.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime

from helpers.stand_in_device import StandInDevice, StandInStream

MAGIC = b"stand-in engine\n"
TYPES = {"float32": "Float", "float16": "Half", "int8": "Int8"}


class StandInTensorRt:
    """The module. device: whose memory and streams its engines use.

    builds: how many engines were built. The rest are faults to order: `refuse_build`, `refuse_engine` and
    `refuse_context` give None, `refuse_run` a False; `types` are what the inspector claims, None for the graph's
    own; `spoil` changes every frame by so much.
    """

    __version__ = "10.0.stand-in"

    def __init__(self, device: StandInDevice) -> None:
        self.device = device
        self.builds = 0
        self.refuse_build = self.refuse_engine = self.refuse_context = self.refuse_run = False
        self.types: list[str] | None = None
        self.spoil = 0
        self.flags_cleared: list[str] = []
        self.timing_given: list[bytes] = []
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.BuilderFlag = SimpleNamespace(TF32="TF32")
        self.ProfilingVerbosity = SimpleNamespace(DETAILED="detailed")
        self.LayerInformationFormat = SimpleNamespace(JSON="json")
        self.TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")
        self.IProgressMonitor = object
        module = self

        class ILogger:
            Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2)

        class Builder:
            def __init__(self, logger: Any) -> None:
                self.logger = logger

            def create_network(self, flags: int) -> SimpleNamespace:
                assert flags == 1 << 1, "not strongly typed"
                return SimpleNamespace(data=b"", num_inputs=0, get_input=None)

            def create_builder_config(self) -> Config:
                return Config(module)

            def create_optimization_profile(self) -> Profile:
                return Profile()

            def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
                module.builds += 1
                for step in range(2):
                    if not config.progress_monitor.step_complete("building", step):
                        return None
                if module.refuse_build:
                    self.logger.log(ILogger.Severity.ERROR, "no kernel\nfits OutOfMemory")
                    return None
                header = json.dumps({"profiles": [p.shapes for p in config.profiles]}).encode()
                return MAGIC + header + b"\n" + network.data

        class OnnxParser:
            def __init__(self, network: Any, logger: Any) -> None:
                self.network = network
                self.num_errors = 0

            def parse(self, data: bytes) -> bool:
                graph = onnx.load_from_string(data).graph
                self.network.data = data
                tensors = [
                    SimpleNamespace(
                        name=value.name,
                        shape=tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim),
                    )
                    for value in graph.input
                ]
                self.network.num_inputs, self.network.get_input = len(tensors), tensors.__getitem__
                return True

        class Runtime:
            def __init__(self, logger: Any) -> None:
                self.logger = logger

            def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
                if module.refuse_engine or not data.startswith(MAGIC):
                    self.logger.log(ILogger.Severity.ERROR, "the engine plan is not compatible")
                    return None
                return Engine(module, data)

        self.ILogger, self.Builder, self.OnnxParser, self.Runtime = ILogger, Builder, OnnxParser, Runtime


class Profile:
    """Least, best and most sizes by input."""

    def __init__(self) -> None:
        self.shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, name: str, least: Any, best: Any, most: Any) -> None:
        self.shapes[name] = [list(least), list(best), list(most)]


class Config:
    def __init__(self, module: StandInTensorRt) -> None:
        self.module = module
        self.profiles: list[Profile] = []
        self.progress_monitor: Any = None
        self.profiling_verbosity = ""

    def clear_flag(self, flag: str) -> None:
        self.module.flags_cleared.append(flag)

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, data: bytes) -> SimpleNamespace:
        self.module.timing_given.append(data)
        return SimpleNamespace(serialize=lambda: b"measurements")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        return not ignore_mismatch


class Engine:
    def __init__(self, module: StandInTensorRt, data: bytes) -> None:
        self.module = module
        header, self.model = data.removeprefix(MAGIC).split(b"\n", 1)
        self.profiles = json.loads(header)["profiles"]
        self.num_optimization_profiles = len(self.profiles)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        self.inputs = {value.name: value for value in self.session.get_inputs()}
        self.names = [*self.inputs, *(value.name for value in self.session.get_outputs())]
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in self.inputs else "output"

    def create_engine_inspector(self) -> Engine:
        return self

    def get_engine_information(self, form: str) -> str:
        stored = {onnx.helper.tensor_dtype_to_np_dtype(t.data_type).name for t in self._initializers()}
        own = [TYPES[name] for name in sorted(stored & TYPES.keys())] or ["Float"]
        types = own if self.module.types is None else self.module.types
        return json.dumps({"Layers": [{"Name": t, "Outputs": [{"Format/Datatype": t}]} for t in types]})

    def create_execution_context(self) -> Context | None:
        return None if self.module.refuse_context else Context(self)

    def _initializers(self) -> Any:
        return onnx.load_from_string(self.model).graph.initializer


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.profile: dict[str, list[list[int]]] | None = None
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, number: int, stream: int) -> bool:
        self.profile = self.engine.profiles[number]
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile is not None, "no profile was set"
        if name in self.profile:
            least, _, most = self.profile[name]
            if not all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True)):
                return False
        self.shapes[name] = tuple(shape)
        return name in self.engine.inputs

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return name in self.engine.names

    def execute_async_v3(self, stream_number: int) -> bool:
        module = self.engine.module
        if module.refuse_run or self.addresses.keys() != set(self.engine.names):
            return False
        shapes, addresses = dict(self.shapes), dict(self.addresses)
        stream: StandInStream = next(s for s in module.device.streams if s.number == stream_number)

        def run() -> None:
            feeds = {
                name: _view(module.device, addresses[name], shapes[name], value.type)
                for name, value in self.engine.inputs.items()
            }
            (output,) = self.engine.session.run(None, feeds)
            found = np.ascontiguousarray(output + output.dtype.type(module.spoil)).view(np.uint8).reshape(-1)
            module.device.memory[addresses[self.engine.names[-1]]][: found.size] = found

        module.device.launch(stream, "step", run)
        return True


def _view(device: StandInDevice, address: int, shape: tuple[int, ...], kind: str) -> Any:
    dtype = {"tensor(int64)": np.int64, "tensor(float)": np.float32}[kind]
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return device.memory[address][:size].view(dtype).reshape(shape)
