"""Subcommands of `pfnr-train` that take libraries apart and put them together."""
