"""The exporter: turns a session of a library into an ONNX decoder, and proves that it is the same."""


def main() -> None:
    """Entry point of `pfnr-export`."""
    from pfnr_runtime.commands.console import launch

    launch("pfnr_export.commands.export", "export")


def verify_main() -> None:
    """Entry point of `pfnr-verify`."""
    from pfnr_runtime.commands.console import launch

    launch("pfnr_export.commands.verify", "export")
