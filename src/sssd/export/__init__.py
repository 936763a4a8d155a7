"""A model as a file that runs without PyTorch and without this package: ONNX, with everything else in its metadata."""

from .onnx_file import KEY, OPSET, WEIGHTS, onnx_bytes, onnx_parts, write_onnx

__all__ = ["KEY", "OPSET", "WEIGHTS", "onnx_bytes", "onnx_parts", "write_onnx"]
