"""The videos of an artifact as playback wants them: one of its own, or every session of a shared graph."""

from __future__ import annotations

from pfnr_runtime.artifact.sidecar import list_sidecars, read_record
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import ArtifactError
from pfnr_runtime.playback.slow_motion import SlowMotion
from pfnr_runtime.video.frames import Frame
from pfnr_runtime.video.record import VideoRecord


class DecoderSource:
    """Decodes any frame of any session with one open decoder; nothing is loaded anew for a switch.

    videos: record of each session that can be played, by its index; those whose sidecar is damaged are in
    `damaged`, with the reason. slow: the decoder's own video slowed down, in its place; only a video of its own
    can be, so that there is nothing to switch to.
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
        """The session that the decoder is at."""
        return self.decoder.contract.session

    def frame(self, session: int, index: int) -> Frame:
        """A frame of any session."""
        if session != self.session:
            self.decoder.switch(session)
        decoder = self.decoder if self.slow is None else self.slow
        return decoder.get_frame_at(index)

    def cancel(self) -> None:
        """Give up the frame that is being decoded, from another thread."""
        self.decoder.cancel()
