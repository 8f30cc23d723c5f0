"""Printing results as text and tables on stdout."""

from __future__ import annotations

import sys

from rich.console import Console


def results_console() -> Console:
    """A console on stdout that shows names as they are, and folds lines for no file or pipe."""
    # Names may hold anything, square brackets and colons too, which rich would take for markup and emoji.
    width = None if sys.stdout.isatty() else 1000
    return Console(width=width, markup=False, emoji=False, highlight=False, soft_wrap=True)
