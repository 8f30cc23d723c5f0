# Every target sets up all it needs: a virtual environment in .venv with pinned versions.
PYTHON ?= python3
VENV ?= .venv
# The CPU build of PyTorch. On a machine with a CUDA device: make TORCH=torch setup
TORCH ?= torch==2.13.0+cpu
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# Two test processes of one thread each make better use of two cores than one of two threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: help setup test test-fast fuzz conformance sbom audit test-gpu test-aarch64 engines engines-full lint format docs demo hashes bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## a virtual environment with everything

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "error: $(PYTHON) is older than Python 3.10; name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check "$(TORCH)" || { echo 'error: no $(TORCH) on your package index. Add the index of CPU wheels named on the PyTorch installation page (PIP_EXTRA_INDEX_URL), or take the default build, several gigabytes with CUDA: make TORCH=torch $(MAKECMDGOALS)' >&2; exit 1; }
	@grep -v '^torch' constraints.txt > $(VENV)/constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[dev]'
	@touch $@

test: $(STAMP) ## all tests, the slow ones last
	$(PYTEST) -m 'not slow and not gpu'
	$(PYTEST) -m 'slow and not gpu and not full_size'

test-fast: $(STAMP) ## the tests that take seconds
	$(PYTEST) -m 'not slow and not gpu'

test-gpu: $(STAMP) ## on a machine with an NVIDIA GPU: build, parity, switching, playback, speed, as one table
	@mkdir -p out
	PFNR_REQUIRE_GPU=1 PFNR_GPU_REPORT=out/gpu.json $(BIN)/python -m pytest -m gpu tests/gpu

engines: $(STAMP) ## compile every kind of artifact with TensorRT-RTX (230 MB), on a machine without a GPU too
	$(BIN)/python -m pip install -q --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[rtx]'
	$(PYTEST) -m 'not full_size' tests/export/checks/test_tensorrt_rtx.py tests/runtime/backends/test_build_rtx.py

engines-full: engines ## the same for preset l at 720p and 1080p, every kind: a quarter of an hour
	$(PYTEST) -m full_size

test-aarch64: $(STAMP) ## the runtime in a Debian arm64 root under qemu, as root: half an hour the first time
	PYTHONPATH=.:tests $(BIN)/python -m aarch64

lint: $(STAMP) ## ruff, mypy, hadolint and the compose file's schema
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint docker/*.Dockerfile
	$(BIN)/check-jsonschema -q --builtin-schema vendor.compose-spec docker/compose.yaml

format: $(STAMP) ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## the documentation as a site in out/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

demo: $(STAMP) ## two real clips: train, export, verify, decode, look; results in out/demo
	$(BIN)/python -m demo --out out/demo

conformance: $(STAMP) ## the suite of pfnr-verify --suite anew, after a change to the exporter
	$(BIN)/python -m pfnr_export.conformance

sbom: $(STAMP) ## out/sbom.json: what is installed here, in CycloneDX's format
	@mkdir -p out
	$(BIN)/uv tool run --from 'cyclonedx-bom>=4,<8' cyclonedx-py environment $(BIN)/python -o out/sbom.json

audit: $(STAMP) ## known advisories of the playback packages; asks a database on the network
	$(BIN)/uv tool run 'pip-audit>=2.7,<3' --disable-pip -r requirements-playback.txt

hashes: $(STAMP) ## requirements-playback.txt anew: a playback install's packages with their hashes
	grep -v '^torch' constraints.txt > $(VENV)/constraints.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.10 --generate-hashes --no-annotate --no-header \
		-c $(VENV)/constraints.txt --extra ort --extra serve --extra play pyproject.toml -o requirements-playback.txt

bench: $(STAMP) ## the figures in docs/benchmarks.md, in about a quarter of an hour
	$(BIN)/python benchmarks/decode.py --json out/bench/decode.json
	$(BIN)/python benchmarks/train_step.py --json out/bench/train_step.json
	$(BIN)/python benchmarks/import_time.py --json > out/bench/import_time.json
	$(BIN)/python benchmarks/playback.py --json out/bench/playback.json
	$(BIN)/python benchmarks/memory.py --json out/bench/memory.json

# How long to fuzz, and more arguments of python -m fuzz, such as FUZZ='--only onnx --coverage'.
SECONDS ?= 600
fuzz: $(STAMP) ## every reader against changed files for SECONDS=600; report in out/fuzz.json
	OMP_NUM_THREADS=1 PYTHONPATH=.:tests $(BIN)/python -m fuzz --seconds $(SECONDS) --json out/fuzz.json $(FUZZ)

clean: ## remove what make made
	rm -rf $(VENV) out build *.egg-info
