"""The ONNX operators a decoder may be made of.

A closed list: each is deterministic, has no side effects, and finishes in a time that its inputs' sizes
bound, so an artifact can neither loop for ever nor reach outside itself. An exporter that needs another
operator adds it here.
"""

from __future__ import annotations

NEWEST_OPSET = 26

_NAMES = """
    Abs Add And AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Constant ConstantOfShape Conv
    ConvInteger ConvTranspose Cos DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Elu Equal Erf Exp
    Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater GreaterOrEqual HardSigmoid HardSwish
    Identity InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log MatMul MatMulInteger Max
    Min Mod Mul Neg Not Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear Range Reciprocal ReduceMax
    ReduceMean ReduceMin ReduceSum Relu Reshape Resize Round Shape Sigmoid Sign Sin Size Slice Softmax
    Softplus SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tanh Tile Transpose Unsqueeze Where Xor
"""

ALLOWED_OPERATORS = frozenset(_NAMES.split())
