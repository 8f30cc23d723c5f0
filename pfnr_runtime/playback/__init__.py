"""Playback: a decode thread ahead of a presentation clock, a player controlled by keys, and a screen.

    VideoDecoder ─▶ DecodeAhead ─▶ bounded queue ─▶ Playback (clock, keys) ─▶ Screen
                         ▲                               │
                         └────── Player: which frame ◀───┘

Frames are independent, so a frame that would be late is skipped before it is decoded.
"""
