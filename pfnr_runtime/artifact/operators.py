"""The ONNX operators a decoder may be made of.

A closed list: each is deterministic, has no side effects, and finishes in a time bounded by the sizes of its
inputs, so an artifact can neither loop forever nor access anything outside itself. An exporter that needs another
operator adds it here.
"""

from __future__ import annotations

NEWEST_OPSET = 26

# Supported by every engine, from TensorRT 10.3 to 11.4 and ONNX Runtime; artifacts use only these.
_PORTABLE = """
    Abs Add And AveragePool Cast Ceil Clip Concat Constant Conv ConvTranspose Cos DepthToSpace
    DequantizeLinear Div Equal Erf Exp Expand Flatten Floor Gather GatherElements Gemm Greater HardSigmoid
    Identity LeakyRelu Less Log MatMul Max Min Mul Neg Not Or Pad Pow QuantizeLinear Reciprocal ReduceMax
    ReduceMean ReduceMin ReduceSum Relu Reshape Round Shape Sigmoid Sign Sin Slice Softplus SpaceToDepth Split Sqrt
    Squeeze Sub Sum Tanh Tile Transpose Unsqueeze Where Xor
"""

_OTHERS = """
    BatchNormalization CastLike ConstantOfShape ConvInteger DynamicQuantizeLinear Elu GatherND Gelu
    GreaterOrEqual HardSwish InstanceNormalization LayerNormalization LessOrEqual MatMulInteger Mod
    PRelu QLinearConv QLinearMatMul Range Resize Size Softmax Swish
"""

PORTABLE_OPERATORS = frozenset(_PORTABLE.split())
ALLOWED_OPERATORS = PORTABLE_OPERATORS | frozenset(_OTHERS.split())
