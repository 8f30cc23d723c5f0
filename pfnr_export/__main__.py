"""`python -m pfnr_export`, for programs that run the exporter with their own Python."""

from pfnr_export import main

main()
