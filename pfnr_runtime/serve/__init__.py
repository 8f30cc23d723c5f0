"""The browser view: videos over HTTP, decoded once for however many look on.

    Catalogue ─▶ DecodeThread ─▶ SharedFrames (encode, cache) ─▶ Api, FrameStream ─▶ Guard ─▶ uvicorn ─▶ browser
    (files)      (one thread)    (bounded in bytes)              (routes)           (host, token)

Starlette and uvicorn (extra `serve`) are imported inside functions, so that the rest of the runtime does without.
"""
