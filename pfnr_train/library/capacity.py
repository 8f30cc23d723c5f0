"""How much of a library the next session may still change, in words."""

from __future__ import annotations

from math import prod

from pfnr_runtime.system.messages import say
from pfnr_train.library.library import Library


def say_lack_of_free_weights(library: Library) -> None:
    """Tell the person before a session with shared values is trained, where there is something to tell."""
    if (lack := lack_of_free_weights(library)) is not None:
        say(lack)


def lack_of_free_weights(library: Library) -> str | None:
    """A sentence where all weights, or all of some tensors, are frozen by earlier sessions; None otherwise.

    Such a session can still be trained: its mask chooses among frozen weights, and it has its own head.
    """
    used = library.used()
    total = sum(mask.size for mask in used.values())
    full = [name for name, mask in used.items() if mask.all()]
    if not full:  # always so without a pool
        return None
    count = len(library.sessions)
    sessions = "its one session" if count == 1 else f"its {count} sessions"
    if len(full) == len(used):
        head = sum(prod(shape) for shape in library.config.head_shapes().values())
        return (
            f"warning: none of this library's {total:,} weights is free, {sessions} froze them all: this one "
            f"trains only its masks over them and the {head} weights of its head. Sessions trained with a larger "
            "`planned`, or with a lower `density`, would have left it some; a new library has all of them"
        )
    free = total - sum(int(mask.sum()) for mask in used.values())
    return f"{sessions} froze all weights of {', '.join(full)}; {free:,} of the library's {total:,} are free"
