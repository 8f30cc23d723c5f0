"""The videos of an artifact, as playback needs them: a single video, or every session of a shared graph."""

from __future__ import annotations

from pfnr_runtime.artifact.sidecar import list_sidecars, read_record
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import ArtifactError
from pfnr_runtime.playback.slow_motion import SlowMotion
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord


class DecoderSource:
    """Decodes any frame of any session with one open decoder; switching loads nothing.

    videos: record of each playable session, by index; those with a damaged sidecar are in `damaged`, with the
    reason. slow: the decoder's video slowed down, instead of the decoder; only for a single video, never a shared
    graph.
    """

    def __init__(self, decoder: VideoDecoder, slow: SlowMotion | None = None) -> None:
        self.decoder, self.slow = decoder, slow
        self.videos: dict[int, VideoRecord] = {}
        self.damaged: dict[int, str] = {}
        graph = decoder.artifact.graph
        for session, path in list_sidecars(graph.path).items() if graph is not None else ():
            try:
                self.videos[session] = read_record(path).contract.video
            except ArtifactError as error:
                self.damaged[session] = str(error)
        self.videos[decoder.contract.session] = decoder.metadata if slow is None else slow.metadata

    @property
    def session(self) -> int:
        """The decoder's current session."""
        return self.decoder.contract.session

    def frame(self, session: int, index: int) -> Frame:
        """A frame of any session."""
        if session != self.session:
            self.decoder.switch(session)
        decoder = self.decoder if self.slow is None else self.slow
        return decoder.get_frame_at(index)

    def cancel(self) -> None:
        """Cancel the decode under way; callable from another thread."""
        self.decoder.cancel()
