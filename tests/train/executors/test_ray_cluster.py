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


@pytest.mark.slow
def test_a_node_killed_in_the_middle_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="a Ray cluster needs the ray package: pip install 'pfnr[ray]'")
    monkeypatch.chdir(tmp_path)
    make_sequence(tmp_path, 3)
    sequence = read_sequence(Path("many.toml"))
    SequenceRun(sequence, find_clips(sequence, Path(".")), tmp_path / "whole.pfnr").train()
    with ray_cluster(workers=2) as cluster:
        command = [*TRAIN, "run", "many.toml", "--data", ".", "--save-every", "0.01s", "--ray", cluster.address]
        run = subprocess.Popen(command, env=cluster.environment, stderr=subprocess.PIPE, text=True)
        while run.poll() is None and not list(tmp_path.glob("many.pfnr.sessions/*.training")):
            time.sleep(0.05)
        cluster.kill_worker()
        said = run.communicate(timeout=200)[1]
    assert run.returncode == 0, said
    assert "training 3 sessions on Ray at" in said
    assert Path("many.pfnr").read_bytes() == Path("whole.pfnr").read_bytes()
    assert not Path("many.pfnr.sessions").exists()
