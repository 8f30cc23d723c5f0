"""`python -m pfnr_train`, for torchrun."""

from pfnr_train import main

main()
