"""A window without a display (SDL's dummy driver): samples, shape, text, and the names of keys."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers.tiny_artifacts import picture_table, video

from pfnr_runtime.errors import BackendError
from pfnr_runtime.playback.keys import BINDINGS, TABLE, help_lines
from pfnr_runtime.playback.window import Window, fit
from pfnr_runtime.video.frames import Frame

pygame = pytest.importorskip("pygame")
PICTURES = picture_table()
FRAME = Frame(PICTURES[5], 5, 0.2, 0.04)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    opened = Window(video())
    yield opened
    opened.close()


def pixels() -> np.ndarray[Any, Any]:
    return pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)


def press(key: int, text: str = "", mod: int = 0) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=text, mod=mod))


def test_at_its_own_size_every_sample_is_the_frames(window: Window) -> None:
    window.show(FRAME, [])
    assert (pixels() == FRAME.data).all()


def test_samples_that_are_not_square_make_the_window_wider_or_taller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    for aspect, size in ((Fraction(2), (128, 36)), (Fraction(1, 2), (64, 72))):
        opened = Window(video(sample_aspect=aspect))
        opened.show(FRAME, [])
        assert pygame.display.get_surface().get_size() == size
        assert np.abs(pixels().mean((0, 1)) - FRAME.data.mean((0, 1))).max() < 2
        opened.close()


def test_text_lies_over_the_frame_and_long_lists_go_in_columns(window: Window) -> None:
    window.show(FRAME, ["x"])
    changed = (pixels() != FRAME.data).any(2)
    assert changed[:10, :10].any()
    assert not changed[:, 40:].any()
    window.show(FRAME, ["a"] * 9)
    assert (pixels() != FRAME.data).any(2)[:, 18:].any()


@pytest.mark.parametrize(
    ("shape", "space", "size"),
    [
        ((16, 9), (160, 90), (160, 90)),
        ((16, 9), (160, 200), (160, 90)),
        ((64, 36), (32, 100), (32, 18)),
        ((10000, 1), (100, 100), (100, 1)),
    ],
)
def test_a_frame_keeps_its_shape(shape: tuple[int, int], space: tuple[int, int], size: tuple[int, int]) -> None:
    assert fit(shape, space) == size


def test_keys_have_the_names_of_the_table(window: Window) -> None:
    window.wait(0)
    pressed = [
        (pygame.K_SPACE, " ", 0, "SPACE"),
        (pygame.K_RIGHT, "", 0, "RIGHT"),
        (pygame.K_LEFT, "", pygame.KMOD_LSHIFT, "shift+LEFT"),
        (pygame.K_l, "L", pygame.KMOD_LSHIFT, "L"),
        (pygame.K_l, "l", 0, "l"),
        (pygame.K_BACKSPACE, "\b", 0, "BS"),
        (pygame.K_SLASH, "?", pygame.KMOD_LSHIFT, "?"),
        (pygame.K_ESCAPE, "\x1b", 0, "ESC"),
        (pygame.K_q, "q", 0, "q"),
    ]
    for key, text, mod, _ in pressed:
        press(key, text, mod)
    assert window.wait(1.0) == [name for *_, name in pressed]
    assert all(name in TABLE for *_, name in pressed)


def test_keys_that_mean_nothing_are_nothing(window: Window) -> None:
    window.wait(0)
    press(pygame.K_F5)
    press(pygame.K_q, "\x11", pygame.KMOD_LCTRL)
    assert window.wait(0.01) == []


def test_closing_the_window_quits(window: Window) -> None:
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert window.wait(1.0) == ["q"]


def test_waking_ends_a_wait(window: Window) -> None:
    window.wait(0)
    window.wake()
    assert window.wait(None) == []


def test_sdl_drawing_into_memory_is_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BackendError, match=r"no display: .*SDL_VIDEODRIVER"):
        Window(video())


def test_every_key_means_one_thing_and_is_listed() -> None:
    keys = [key for binding in BINDINGS for key in binding.keys]
    assert len(keys) == len(set(keys))
    assert len(help_lines()) == len(BINDINGS) + 1
    wanted = "SPACE . , LEFT RIGHT UP DOWN [ ] BS l L i s f q ? n p 0 9"
    assert set(wanted.split()) <= set(TABLE)
