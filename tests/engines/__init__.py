"""TensorRT. The folder is not called tensorrt: tests are importable, and would hide the library of that name."""
