"""The trainer: clips become sessions of one library."""


def main() -> None:
    """Entry point of `pfnr-train`."""
    from pfnr_runtime.commands.console import launch

    launch("pfnr_train.commands", "train")
