"""Where the files of the pages lie that this package ships."""

from __future__ import annotations

from pathlib import Path

# Style, controls, keys: shared with the page of pfnr-serve.
SHARED = Path(__file__).parent / "shared"
# The page that decodes by itself.
PAGE = Path(__file__).parent / "page"
