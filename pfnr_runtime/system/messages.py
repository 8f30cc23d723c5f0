"""The toolkit's messages, through `logging`.

Every message goes to the logger "pfnr": as with any library, a program that embeds the toolkit sees nothing unless
it configures that logger. The commands show the messages on stderr.
"""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("pfnr")


def say(message: str) -> None:
    """Log a message for the user, at level INFO."""
    LOGGER.info("%s", message)
