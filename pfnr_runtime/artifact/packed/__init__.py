"""The packed video (`*.pfnv`): what an .onnx is made from, in as few bytes as it takes; see docs/packed.md."""
