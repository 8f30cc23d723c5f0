"""A Ray cluster of several nodes: a node that is killed in the middle loses nothing: the same bytes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.many_sessions import make_sequence
from helpers.ray_cluster import ray_cluster

from pfnr_train.sequence.clips import find_clips
from pfnr_train.sequence.run import SequenceRun
from pfnr_train.sequence.sequence import read_sequence

TRAIN = [sys.executable, "-c", "from pfnr_train import main; main()"]
SECONDS = 240


@pytest.mark.slow
def test_a_node_killed_in_the_middle_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="a Ray cluster needs the ray package: pip install 'pfnr[ray]'")
    monkeypatch.chdir(tmp_path)
    make_sequence(tmp_path, 3)
    sequence = read_sequence(Path("many.toml"))
    SequenceRun(sequence, find_clips(sequence, Path(".")), tmp_path / "whole.pfnr").train()
    with ray_cluster(workers=2) as cluster:
        command = [*TRAIN, "run", "many.toml", "--data", ".", "--save-every", "0.01s", "--ray", cluster.address]
        with Path("said").open("w") as said:
            run = subprocess.Popen(command, env=cluster.environment, stderr=said)
        killed, until = False, time.monotonic() + SECONDS
        while run.poll() is None and time.monotonic() < until:
            if not killed and list(tmp_path.glob("many.pfnr.sessions/*.training")):
                cluster.kill_worker()
                killed = True
            cluster.revive()
            time.sleep(0.05)
        run.kill()
    text = Path("said").read_text()
    assert killed, text
    assert run.returncode == 0, text
    assert "training 3 sessions on Ray at" in text
    assert Path("many.pfnr").read_bytes() == Path("whole.pfnr").read_bytes()
    assert not Path("many.pfnr.sessions").exists()
