"""Playback: a decode thread ahead of a presentation clock, a player that keys command, a screen that shows.

    VideoDecoder ─▶ DecodeThread ─▶ bounded queue ─▶ Playback (clock, keys) ─▶ Screen
                         ▲                               │
                         └────── Player: which frame ◀───┘

Frames are independent of one another, so a frame that would be late is skipped before it is decoded.
"""
