"""How an engine goes from one session of a shared graph to another: by its inputs, or by refit.

By inputs, the default, every run reads the session's weights as tensors: always right, at the price of arranging
convolution kernels in every run. By refit they are constants, exchanged at a switch. Refit is believed only as
far as it is seen: frames after it are held against the session's golden file where there is one, else, once,
against an engine that takes inputs. Whatever refuses, fails or differs closes the refitted engine for good, and
the sessions go on by inputs, visibly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pfnr_runtime.artifact.golden import Golden
from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.artifact.parity import problems_of, rule_for
from pfnr_runtime.artifact.sidecar import Sidecar
from pfnr_runtime.backends.base import to_pictures
from pfnr_runtime.backends.trt.engine_run import EngineRun
from pfnr_runtime.backends.trt.prove import golden_beside, prove
from pfnr_runtime.errors import BackendError

INPUTS, REFIT = "inputs", "refit"
STRATEGIES = (INPUTS, REFIT)

# From an artifact and whether its engine is to be refitted to the running engine.
Open = Callable[[ArtifactFile, bool], EngineRun]


class SwitchingRun:
    """The engine that decodes `artifact` now, and the way to its other sessions.

    open_run: makes one. refit: try that way first. report: gets a line where it is given up. run: decodes; after
    a switch it may be another one. A BackendError if neither way works.
    """

    def __init__(
        self, artifact: ArtifactFile, open_run: Open, *, refit: bool, report: Callable[[str], None]
    ) -> None:
        self._artifact, self._open, self._report = artifact, open_run, report
        self._refits = refit and artifact.graph is not None
        self._probed = False
        self._note = ""
        if not self._refits:
            self.run = open_run(artifact, False)
            return
        golden = golden_beside(artifact)
        try:
            self.run = open_run(artifact, True)
        except BackendError as error:
            self._go_on_by_inputs(str(error))
            return
        self._believe_or_leave(golden)

    @property
    def note(self) -> str:
        """How sessions are switched, for people; empty where there is nothing to say."""
        return ", sessions by refit" if self._refits else self._note

    def switch(self, sidecar: Sidecar) -> None:
        """Decode another session. A BackendError if that cannot be; nothing is decoded any more then."""
        if not self._refits:
            self.run.switch(sidecar)
            return
        artifact = replace(self._artifact, contract=sidecar.contract, sidecar=sidecar)
        golden = golden_beside(artifact)  # a damaged one is found before anything changes
        self._artifact = artifact
        try:
            self.run.switch(sidecar)
        except BackendError as error:
            self._leave_refit(str(error))
            return
        self._believe_or_leave(golden)

    def close(self) -> None:
        """Give the device's memory back. Never raises."""
        self.run.close()

    def _believe_or_leave(self, golden: Golden | None) -> None:
        """Hold the refitted engine's frames against known ones, where there are any or it was never done."""
        try:
            if golden is not None and golden.whole:
                prove(self.run.loop, self._artifact, golden)
                self._probed = True
            elif not self._probed:
                self._probe()
                self._probed = True
        except BackendError as error:
            self._leave_refit(str(error))
        except BaseException:
            self.run.close()
            raise

    def _probe(self) -> None:
        """A BackendError if the refitted engine's frames are not those of an engine that takes inputs."""
        contract = self._artifact.contract
        rule, last = rule_for(contract), contract.video.frames - 1
        numbers = np.unique(np.array([0, last // 2, last], np.int64))
        known = self._open(self._artifact, False)
        try:
            pairs = []
            for run in (known, self.run):
                decoded = run.loop.decode(contract.inputs_at(numbers))
                pairs.append(decoded if contract.output == "uint8" else to_pictures(decoded))
        finally:
            known.close()
        found = [rule.compare(int(i), a, b) for i, a, b in zip(numbers, *pairs, strict=True)]
        if problems := problems_of(found, rule):
            raise BackendError(f"a refitted engine decodes other frames: {'; '.join(problems)}")

    def _leave_refit(self, reason: str) -> None:
        self.run.close()
        self._go_on_by_inputs(reason)

    def _go_on_by_inputs(self, reason: str) -> None:
        self._refits = False
        self._note = f", sessions by inputs (refit given up: {reason})"
        self._report(f"{self._artifact.path}: no refit, sessions are switched by inputs: {reason}")
        self.run = self._open(self._artifact, False)
