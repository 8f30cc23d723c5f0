"""The exporter: a session of a library becomes an ONNX decoder, and a proof that it is the same."""
