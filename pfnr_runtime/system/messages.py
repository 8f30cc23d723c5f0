"""What the toolkit says while it works, through `logging`.

Every message goes to the logger called "pfnr": a program that embeds the toolkit hears nothing unless it asks
for it, as with any library. The commands show the messages on stderr.
"""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("pfnr")


def say(message: str) -> None:
    """A message for the person watching, at level INFO."""
    LOGGER.info("%s", message)
