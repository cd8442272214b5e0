"""The node kinds of the integer network, each with its semantics in its docstring.

Four kinds of tensors flow between nodes: `fixed` (integers on the datapath, a real value times 2^frac_bits), `codes`
(bit patterns of an activation format), `sums` (what an accumulator holds) and `beta` (one factor per sample, in fixed
point of its own). Shapes are per sample: (C, H, W) or (C,).
"""

from hwsim.nodes.adaptive import Adapter, AdaptiveQuantize, AdaptiveRescale
from hwsim.nodes.encode import Encode, Quantize, Threshold
from hwsim.nodes.glue import Add, AvgPool, Clip, Concat, Flatten, MaxPool, PadChannels, Pool, Relu
from hwsim.nodes.matmul import Conv, Linear, Matmul, Rescale
from hwsim.nodes.node import Input, Node, Pair, Shape

__all__ = [
    "NODES",
    "Adapter",
    "AdaptiveQuantize",
    "AdaptiveRescale",
    "Add",
    "AvgPool",
    "Clip",
    "Concat",
    "Conv",
    "Encode",
    "Flatten",
    "Input",
    "Linear",
    "Matmul",
    "MaxPool",
    "Node",
    "PadChannels",
    "Pair",
    "Pool",
    "Quantize",
    "Relu",
    "Rescale",
    "Shape",
    "Threshold",
]

NODES: dict[str, type[Node]] = {
    "input": Input,
    "quantize": Quantize,
    "threshold": Threshold,
    "conv": Conv,
    "linear": Linear,
    "rescale": Rescale,
    "add": Add,
    "relu": Relu,
    "clip": Clip,
    "max_pool": MaxPool,
    "avg_pool": AvgPool,
    "flatten": Flatten,
    "concat": Concat,
    "pad_channels": PadChannels,
    "adapter": Adapter,
    "adaptive_quantize": AdaptiveQuantize,
    "adaptive_rescale": AdaptiveRescale,
}
