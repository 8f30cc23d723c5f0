"""The browser view: videos over HTTP, decoded once however many viewers watch.

    Catalogue ─▶ DecodeQueue ─▶ SharedFrames (encode, cache) ─▶ Api, FrameStream ─▶ Guard ─▶ uvicorn ─▶ browser
    (files)      (one thread)    (bounded in bytes)              (routes)           (host, token)

Starlette and uvicorn (extra `serve`) are imported inside functions, so that the rest of the runtime works without
them.
"""
