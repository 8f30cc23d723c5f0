"""Fuzzing of everything that reads what others wrote.

    make fuzz SECONDS=600                       # every reader in turn; a report in out/fuzz.json
    PYTHONPATH=.:tests python -m fuzz --only onnx --seconds 60 --coverage    # guided by coverage (extra fuzz)

A target is a reader, small valid files that it reads, and a mutation that knows the format: it changes a field,
then puts lengths, checksums and seals right, so that damage reaches the code behind them. A finding is an
exception other than a named error, a message of pages, ten seconds without an end, a killed process, or a
gigabyte of memory.
"""
