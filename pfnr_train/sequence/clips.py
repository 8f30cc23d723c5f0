"""Finding the clips of a sequence: all are located and probed before training starts."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from pfnr_runtime.errors import ClipError, PfnrError
from pfnr_runtime.system.messages import say
from pfnr_train.clips import Clip, ClipInfo, fit_to, probe, read_clip
from pfnr_train.clips.read_video import count_packets
from pfnr_train.sequence.sequence import SequenceVideo, VideoSequence


@dataclass(frozen=True)
class FoundVideo:
    """A video of a sequence and its clip."""

    video: SequenceVideo
    info: ClipInfo

    def elsewhere(self) -> FoundVideo:
        """The same for a worker that has another current folder."""
        return replace(self, info=replace(self.info, path=self.info.path.absolute()))

    def read(self, sequence: VideoSequence) -> Clip:
        """Its frames, cropped and scaled to the sequence's size."""
        video = self.video
        return read_clip(
            self.info.path,
            video.frames,
            sequence.size,
            video.fps,
            sequence.scaling,
            video.stream,
            video.tolerate_damage,
        )


def data_folder(given: Path | None) -> Path:
    """The given folder, else `$PFNR_DATA`; a ClipError if neither exists."""
    folder = given or (Path(os.environ["PFNR_DATA"]) if os.environ.get("PFNR_DATA") else None)
    if folder is None:
        raise ClipError("no data folder: name the clips' folder with `data=FOLDER` or $PFNR_DATA")
    if not folder.is_dir():
        raise ClipError(f"data folder {folder} does not exist; give the folder that holds the clips")
    return folder


def find_clips(sequence: VideoSequence, data: Path) -> list[FoundVideo]:
    """Every video of `sequence` below the folder `data`, in order.

    A ClipError lists all that are missing, unreadable or too short, so that training starts only when everything
    is there.
    """
    found, missing, problems = [], [], []
    for video in sequence.videos:
        try:
            path = _find(video.clip, sequence.folders, data)
            if path is None:
                missing.append(video.clip)
                continue
            info = probe(path, video.fps, video.stream)
            if (problem := _too_short(video, info)) is not None:
                raise ClipError(problem)
            found.append(FoundVideo(video, info))
        except PfnrError as error:
            problems.append(str(error))
    if missing:
        looked = ", ".join(str(data / folder) for folder in sequence.folders)
        problems.insert(0, f"missing in {looked}: {', '.join(missing)}; name another folder with `data`")
    if problems:
        bad = len(sequence.videos) - len(found)
        raise ClipError(
            f"{bad} of the {len(sequence.videos)} videos of {sequence.name} cannot be used: {'; '.join(problems)}"
        )
    return found


def describe_differences(sequence: VideoSequence, found: list[FoundVideo]) -> None:
    """Report how clips of other sizes are scaled, and whether their rates differ."""
    groups: dict[str, list[str]] = {}
    for each in found:
        info = each.info
        fit = fit_to((info.width, info.height), sequence.size, info.sample_aspect, sequence.scaling)
        groups.setdefault(fit.sentence(), []).append(each.video.name)
    for sentence, names in groups.items():
        say(f"{_listed(names, len(found))}: {sentence}")
    rates: dict[str, list[str]] = {}
    for each in found:
        rates.setdefault(f"{float(each.info.fps):.6g}", []).append(each.video.name)
    if len(rates) > 1:
        shown = "; ".join(f"{_listed(names, len(found))} {rate}" for rate, names in rates.items())
        say(f"frames per second differ ({shown}): each session keeps its own")


def _listed(names: list[str], all_of_them: int) -> str:
    return "all videos" if len(names) == all_of_them > 1 else ", ".join(names)


def _too_short(video: SequenceVideo, info: ClipInfo) -> str | None:
    stop = None if video.frames is None else video.frames.stop
    if stop is None:
        return None
    count = info.frames
    if count is None or (info.kind == "video" and stop > count):
        count = count_packets(info.path, info.stream)  # a header may be stale
    return f"{info.path} has {count} frames, but frames up to {stop} are requested" if stop > count else None


def _find(clip: str, folders: tuple[str, ...], data: Path) -> Path | None:
    """The file or folder called `clip`, or a file of that name with any suffix; None if missing."""
    for folder in folders:
        path = data / folder / clip
        if path.exists():
            return path
        if path.parent.is_dir():
            same = sorted(p for p in path.parent.iterdir() if p.is_file() and p.stem == path.name)
            if len(same) > 1:
                raise ClipError(f"{', '.join(map(str, same))}: ambiguous; keep only one of them")
            if same:
                return same[0]
    return None
