"""What is wrong with a checkpoint, or contradicts its flags, is named in one line and nothing is written."""

from __future__ import annotations

import pickle
import random
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoints import Shape, make_checkpoint
from typer.testing import CliRunner

from pfnr_train.commands import app
from pfnr_train.reference.checkpoint import CheckpointError, load_checkpoint

Change = Callable[[dict[str, Any]], None]
SHAPE = Shape()


def attempt(checkpoint: Path, tmp_path: Path, *flags: str) -> tuple[int, str]:
    """Exit code and message of an import that must fail, in one line, leaving no library."""
    output = tmp_path / "out.pfnr"
    done = CliRunner().invoke(app, ["import", str(checkpoint), "-o", str(output), *(flags or SHAPE.flags())])
    assert done.exit_code != 0, done.output
    assert "Traceback" not in done.output
    assert not output.exists()
    message = done.stderr.strip()
    if done.exit_code == 1:
        assert message.startswith("error: ")
        assert "\n" not in message
    return done.exit_code, message


def replace_flag(flag: str, *values: str) -> list[str]:
    flags = SHAPE.flags()
    start = flags.index(flag)
    stop = next((i for i in range(start + 1, len(flags)) if flags[i].startswith("--")), len(flags))
    return [*flags[:start], flag, *values, *flags[stop:]]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.pth"
    torch.save(make_checkpoint(SHAPE), path)
    return path


def changed(tmp_path: Path, change: Change) -> Path:
    checkpoint = make_checkpoint(SHAPE)
    change(checkpoint)
    path = tmp_path / "changed.pth"
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (replace_flag("--strides", "2", "2", "2"), ["--strides", "3 blocks", "has 2"]),
        (replace_flag("--strides", "3", "2"), ["layers.0.conv.conv.weight", "multiple of 9"]),
        (replace_flag("--strides", "1", "2"), ["block 0", "24", "6"]),
        (replace_flag("--fc-hw-dim", "5_8_7"), ["block 0", "6", "7"]),
        (replace_flag("--fc-hw-dim", "9_16_6"), ["stem.mlp_fc2.weight"]),
        (replace_flag("--embed", "1.25_40"), ["stem.mlp_fc1.weight", "10x24", "10x160"]),
        ([*SHAPE.flags(), "--freq", "0"], ["--freq 0", "at 1"]),
        ([*SHAPE.flags(), "--freq", "-1"], ["--freq -1", "at 1"]),
        ([*SHAPE.flags(), "--cat-size", "2"], ["--cat-size 2", "--cat-size -1"]),
        ([*SHAPE.flags(), "--lower-width", "6"], ["block 1", "4", "6"]),
        ([*SHAPE.flags(), "--reduction", "1"], ["block 1", "--reduction 1"]),
    ],
)
def test_flags_that_contradict_the_tensors_are_named(
    flags: list[str], words: list[str], good: Path, tmp_path: Path
) -> None:
    code, message = attempt(good, tmp_path, *flags)
    assert code == 1
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (replace_flag("--frames", "4"), ["--frames", "1 counts", "2 trained", "clip0, clip1"]),
        (replace_flag("--frames", "4,4,4"), ["--frames", "3 counts"]),
        (replace_flag("--frames", "4,x"), ["--frames", "4,x"]),
        (replace_flag("--frames", "4,0"), ["--frames", "0"]),
        ([*SHAPE.flags(), "--names", "a"], ["--names", "1 names", "2 trained"]),
        ([*SHAPE.flags(), "--names", "a,a"], ["--names", "'a'"]),
        ([*SHAPE.flags(), "--names", "a,"], ["name ''"]),
        ([*SHAPE.flags(), "--fps", "0"], ["frame rate '0'"]),
        (replace_flag("--strides", "five"), ["--strides 'five'"]),
        (replace_flag("--fc-hw-dim", "9x16x8"), ["--fc-hw-dim '9x16x8'", "9_16_112"]),
        (replace_flag("--embed", "40"), ["--embed '40'", "1.25_40"]),
    ],
)
def test_flags_of_the_wrong_form_or_count_are_usage_errors(
    flags: list[str], words: list[str], good: Path, tmp_path: Path
) -> None:
    code, message = attempt(good, tmp_path, *flags)
    assert code == 2
    for word in words:
        assert word in message, message


def set_mask(name: str, value: Any) -> Change:
    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["per_task_masks"][1][name] = value

    return change


def set_tensor(name: str, value: Any) -> Change:
    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"][name] = value

    return change


def drop(*keys: Any) -> Change:
    def change(checkpoint: dict[str, Any]) -> None:
        for key in keys[:-1]:
            checkpoint = checkpoint[key]
        del checkpoint[keys[-1]]

    return change


def empty_masks(checkpoint: dict[str, Any]) -> None:
    for mask in checkpoint["per_task_masks"][1].values():
        for part in mask if isinstance(mask, list) else [mask]:
            if part is not None:
                part.zero_()


REAL = "layers.1.conv.conv_freq.weight_real"
CHANGES: list[tuple[Change, list[str]]] = [
    (drop("per_task_masks", 1, "stem.mlp_fc2.weight"), ["task 1 has no mask of stem.mlp_fc2.weight"]),
    (set_mask("stem.mlp_fc1.weight", None), ["task 1 has no mask of stem.mlp_fc1.weight"]),
    (set_mask(REAL, [None, None]), [f"task 1 has no mask of {REAL}.0"]),
    (set_mask(REAL, [torch.ones(4, 4, 5, 8)]), [f"mask of {REAL}.0"]),
    (set_mask("stem.mlp_fc1.weight", torch.ones(3, 3)), ["stem.mlp_fc1.weight", "3x3", "10x24"]),
    (set_mask("stem.mlp_fc1.weight", torch.full((10, 24), 0.5)), ["stem.mlp_fc1.weight", "0 and 1"]),
    (set_mask("stem.mlp_fc1.weight", "all"), ["'stem.mlp_fc1.weight'", "not a tensor"]),
    (set_mask("stem.mlp_fc1.weight", torch.ones(1, 1).expand(10, 24)), ["stem.mlp_fc1.weight", "damaged"]),
    (drop("per_task_masks", 0), ["lacks task 0"]),
    (empty_masks, ["task 1", "keep no weight"]),
    (drop("per_task_masks"), ["no per_task_masks"]),
    (drop("state_dict"), ["no state_dict"]),
    (drop("state_dict", "stem.mlp_fc1.weight"), ["lacks stem.mlp_fc1.weight"]),
    (drop("state_dict", "head_layers.0.weight"), ["heads [1]"]),
    (drop("state_dict", "head_layers.1.weight"), ["2 tasks and 1 heads"]),
    (drop("state_dict", f"{REAL}.1"), [f"lacks {REAL}.1"]),
    (set_tensor(f"{REAL}.1", torch.zeros(6, 4, 9, 9)), [f"{REAL}.1", "6x4x9x9"]),
    (set_tensor("head_layers.1.weight", torch.zeros(3, 9, 1, 1)), ["head_layers.1.weight", "3x9x1x1"]),
    (set_tensor("stem.mlp_fc1.weight", torch.zeros(240)), ["stem.mlp_fc1.weight", "240"]),
    (set_tensor("stem.mlp_fc1.weight", torch.zeros(10, 24).half()), ["stem.mlp_fc1.weight", "float16"]),
    (set_tensor("stem.mlp_fc1.weight", torch.full((10, 24), torch.nan)), ["stem.mlp_fc1.weight", "finite"]),
    (set_tensor("stem.mlp_fc1.weight", torch.zeros(10, 24).to_sparse()), ["stem.mlp_fc1.weight", "plain tensor"]),
    (set_tensor("stem.mlp_fc1.weight", torch.zeros(1).expand(10, 24)), ["stem.mlp_fc1.weight", "plain tensor"]),
    (set_tensor("stem.mlp_fc1.weight", torch.zeros(1).expand(10, 1 << 40)), ["stem.mlp_fc1.weight"]),
    (set_tensor("layers.0.norm.weight", torch.zeros(4)), ["layers.0.norm.weight", "cannot be imported"]),
    (set_tensor("stem.mlp_fc1.bias", torch.zeros(10)), ["stem.mlp_fc2.bias"]),
    (set_tensor("layers.0.conv.conv.weight", 7), ["layers.0.conv.conv.weight", "int"]),
    (lambda c: c.update(taskcla=[(0,)]), ["taskcla"]),
    (lambda c: c["per_task_masks"].update({"two": {}}), ["'two'"]),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=[words[0] for _, words in CHANGES])
def test_what_is_wrong_in_a_checkpoint_is_named(change: Change, words: list[str], tmp_path: Path) -> None:
    code, message = attempt(changed(tmp_path, change), tmp_path)
    assert code == 1
    for word in words:
        assert word in message, message


class Payload:
    """What an attacker would pickle: loading it would run code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_objects_other_than_tensors_are_refused_and_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for extra in (Payload(marker), Fraction(1, 3)):
        path = changed(tmp_path, lambda c, extra=extra: c.update(extra=extra))  # type: ignore[misc]
        code, message = attempt(path, tmp_path)
        assert code == 1
        assert "could run code" in message
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"PK\x03\x04 cut short", pickle.dumps({"state_dict": {}})],
    ids=["empty", "text", "cut zip", "bare pickle"],
)
def test_files_of_another_kind_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    code, message = attempt(path, tmp_path)
    assert code == 1
    assert "other.pth" in message


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pth", tmp_path):
        code, message = attempt(path, tmp_path)
        assert code == 1
        assert str(path) in message


def test_a_file_over_the_size_limit_is_not_opened(good: Path, tmp_path: Path) -> None:
    code, message = attempt(good, tmp_path, *SHAPE.flags(), "--max-bytes", "1000")
    assert code == 1
    assert "limit of 1,000" in message
    assert "--max-bytes" in message


def test_a_compressed_archive_is_refused_before_it_is_unpacked(good: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            data = bytes(64 << 20) if name.endswith("/data/0") else source.read(name)
            target.writestr(name, data)
    assert bomb.stat().st_size < 1 << 20
    code, message = attempt(bomb, tmp_path)
    assert code == 1
    assert "compressed" in message


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(good: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.pth"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(hostile, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("/data.pkl"):
                # The shape (10, 24) of the first weight becomes (10, 2^30) in the pickled structure.
                assert data.count(b"K\nK\x18\x86") >= 1
                data = data.replace(b"K\nK\x18\x86", b"K\nJ\x00\x00\x00\x40\x86", 1)
            target.writestr(name, data)
    code, message = attempt(hostile, tmp_path)
    assert code == 1
    assert "hostile.pth" in message or "stem.mlp_fc1" in message


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95, 0.999])
def test_a_file_cut_short_is_refused(keep: float, good: Path, tmp_path: Path) -> None:
    data = good.read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(data[: int(len(data) * keep)])
    code, _ = attempt(path, tmp_path)
    assert code == 1


def test_an_existing_library_is_never_overwritten(good: Path, tmp_path: Path) -> None:
    output = tmp_path / "library.pfnr"
    output.write_bytes(b"precious")
    done = CliRunner().invoke(app, ["import", str(good), "-o", str(output), *SHAPE.flags()])
    assert done.exit_code == 1
    assert "exists" in done.stderr
    assert output.read_bytes() == b"precious"


def refused(path: Path) -> str:
    """The one line that a file is refused with."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value, value]  # printed in full, it would have 2^levels parts
    return value


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "change",
    [
        {"taskcla": [nested(40)]},
        {"per_task_masks": {10**5000: {}}},
        {"per_task_masks": {0: {10**5000: torch.zeros(1), "x": 3}}},
        {"state_dict": {10**5000: torch.zeros(1)}},
    ],
    ids=["nested", "task", "mask", "tensor"],
)
def test_what_a_file_holds_is_never_written_out_in_a_message(change: dict[str, Any], good: Path) -> None:
    checkpoint = torch.load(good, weights_only=True) | change
    torch.save(checkpoint, good)
    refused(good)


def test_a_part_without_its_checksum_is_refused(good: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    data = bytearray(good.read_bytes())
    name = int.from_bytes(data[largest.header_offset + 26 : largest.header_offset + 28], "little")
    extra = int.from_bytes(data[largest.header_offset + 28 : largest.header_offset + 30], "little")
    data[largest.header_offset + 30 + name + extra + largest.file_size // 2] ^= 1
    good.write_bytes(data)
    assert "does not have its checksum" in refused(good)


def test_flipped_bits_are_one_line_or_change_nothing(good: Path) -> None:
    data, chance = good.read_bytes(), random.Random(0)
    before = load_checkpoint(good)
    for _ in range(200):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        good.write_bytes(changed)
        try:
            found = load_checkpoint(good)
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017
            continue
        assert found.state.keys() == before.state.keys()
        assert all(torch.equal(found.state[name], tensor) for name, tensor in before.state.items())
