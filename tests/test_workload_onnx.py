"""ONNX and QONNX files as workloads."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.formats import Uniform
from hwsim.workload import WorkloadError
from hwsim.workloads import load_workload

onnx = pytest.importorskip("onnx")


from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from hwsim.workloads.onnx_file import read_onnx  # noqa: E402


def save(path: Path, nodes: Sequence[Any], constants: Mapping[str, Any], shape: Sequence[int | str]) -> Path:
    """Write a model with one input `x` of this shape and these constants."""
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "net", inputs, outputs, initializers)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("qonnx.custom_op.general", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains), str(path))
    return path


def floats(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.zeros(shape, dtype=np.float32)


def node(op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(op, inputs, [output], name=f"/{op.lower()}", domain=domain, **attributes)


def small_network(path: Path) -> Path:
    """Write conv (asymmetric padding) - batch norm - ReLU - pooling - flatten - linear, with an open batch size."""
    constants = {"w": floats(8, 3, 3, 3), "b": floats(8), "fc": floats(10, 8), "fcb": floats(10)}
    constants |= {name: floats(8) for name in ("scale", "shift", "mean", "var")}
    nodes = [
        node("Conv", ["x", "w", "b"], "c", pads=[0, 1, 2, 1], kernel_shape=[3, 3]),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], "n"),
        node("Relu", ["n"], "r"),
        node("GlobalAveragePool", ["r"], "p"),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "fc", "fcb"], "y", transB=1),
    ]
    return save(path, nodes, constants, ["batch", 3, 16, 16])


def test_a_small_network(tmp_path: Path) -> None:
    workload = load_workload(small_network(tmp_path / "net.onnx"))
    assert [layer.kind for layer in workload] == ["conv", "batch_norm", "relu", "avg_pool", "linear"]
    conv = workload.layers[0]
    assert (conv.padding, conv.OY, conv.OX, conv.macs) == ((0, 1, 2, 1), 16, 16, 8 * 3 * 9 * 256)
    assert workload.parameters == 8 * 27 + 8 + 16 + 80 + 10
    assert workload.layers[-1].inputs == ("/globalaveragepool",)
    assert workload.layers[3].elements_in == 8 * 256


def test_qonnx_quantizers_give_formats(tmp_path: Path) -> None:
    constants: dict[str, Any] = {"w": floats(4, 2, 1, 1), "s": np.float32(1), "z": np.float32(0)}
    constants |= {"b3": np.float32(3), "b4": np.float32(4)}
    quant = "qonnx.custom_op.general"
    nodes = [
        node("Quant", ["x", "s", "z", "b4"], "xq", quant, signed=0, narrow=0, rounding_mode="ROUND"),
        node("Quant", ["w", "s", "z", "b3"], "wq", quant, signed=1, narrow=1, rounding_mode="ROUND"),
        node("Conv", ["xq", "wq"], "y", kernel_shape=[1, 1]),
    ]
    workload = read_onnx(save(tmp_path / "q.onnx", nodes, constants, [1, 2, 5, 5]))
    (conv,) = workload.layers
    assert conv.weight == Uniform(3, narrow=True)
    assert conv.activation == Uniform(4, signed=False)
    assert (conv.macs, conv.parameters) == (200, 8)


def test_quantize_and_dequantize_give_8_bits(tmp_path: Path) -> None:
    constants: dict[str, Any] = {"w": np.zeros((8, 4), np.int8), "s": np.float32(1), "u": np.uint8(0)}
    constants |= {"i": np.int8(0)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "u"], "xq"),
        node("DequantizeLinear", ["xq", "s", "u"], "xd"),
        node("DequantizeLinear", ["w", "s", "i"], "wd"),
        node("MatMul", ["xd", "wd"], "y"),
    ]
    (layer,) = read_onnx(save(tmp_path / "qdq.onnx", nodes, constants, [1, 8])).layers
    assert (layer.weight, layer.activation) == (Uniform(8), Uniform(8, signed=False))


def test_attention_and_an_embedding(tmp_path: Path) -> None:
    constants: dict[str, Any] = {
        "table": floats(50, 8),
        "positions": floats(1, 6, 8),
        "i": np.zeros((1, 6), np.int64),
    }
    nodes = [
        node("Gather", ["table", "i"], "e"),
        node("Add", ["x", "positions"], "a"),
        node("Transpose", ["a"], "t", perm=[0, 2, 1]),
        node("MatMul", ["a", "t"], "s"),
        node("Softmax", ["s"], "m"),
        node("MatMul", ["m", "a"], "y"),
    ]
    workload = read_onnx(save(tmp_path / "a.onnx", nodes, constants, [1, 6, 8]))
    assert [layer.kind for layer in workload] == ["constant", "add", "matmul", "softmax", "matmul"]
    assert (workload.macs, workload.parameters) == (2 * 6 * 6 * 8, 48)


def test_a_transposed_and_a_depthwise_convolution(tmp_path: Path) -> None:
    constants: dict[str, Any] = {"d": floats(4, 1, 3, 3), "u": floats(4, 6, 2, 2)}
    nodes = [
        node("Conv", ["x", "d"], "c", group=4, auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
        node("ConvTranspose", ["c", "u"], "y", strides=[2, 2], kernel_shape=[2, 2]),
    ]
    depthwise, up = read_onnx(save(tmp_path / "t.onnx", nodes, constants, [1, 4, 8, 8])).layers
    assert (depthwise.padding, depthwise.macs) == ((0, 0, 1, 1), 4 * 9 * 16)
    assert (up.kind, up.K, up.OY, up.macs) == ("conv_transpose", 6, 8, 4 * 16 * 6 * 4)


def test_an_unknown_operator_is_refused_or_listed(tmp_path: Path) -> None:
    path = save(tmp_path / "s.onnx", [node("Sign", ["x"], "z"), node("Relu", ["z"], "y")], {}, [1, 8])
    with pytest.raises(WorkloadError, match=r"s.onnx, node '/sign': unknown operator 'Sign'"):
        read_onnx(path)
    workload = read_onnx(path, list_unknown=True)
    assert [(layer.kind, layer.op) for layer in workload] == [("unknown", "Sign"), ("relu", "Relu")]


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"not a model")
    with pytest.raises(WorkloadError, match=r"x.onnx: not an ONNX file"):
        read_onnx(tmp_path / "x.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(WorkloadError, match=r"empty.onnx: not an ONNX file, or one without nodes"):
        read_onnx(tmp_path / "empty.onnx")


def test_an_open_image_size_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "o.onnx", [node("Relu", ["x"], "y")], {}, ["batch", 3, "height", 8])
    with pytest.raises(WorkloadError, match="dimension 2 of input 'x' is open; only the batch may be"):
        read_onnx(path)


def test_a_bit_width_that_cannot_be_is_refused(tmp_path: Path) -> None:
    constants: dict[str, Any] = {"s": np.float32(1), "z": np.float32(0), "b": np.float32(2.5)}
    nodes = [node("Quant", ["x", "s", "z", "b"], "y", "qonnx.custom_op.general", signed=1)]
    with pytest.raises(WorkloadError, match=r"node '/quant': a bit width must be a positive integer, got 2.5"):
        read_onnx(save(tmp_path / "b.onnx", nodes, constants, [1, 4]))


def test_weights_that_two_nodes_share_are_counted_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "w"], ["y"], name="second"),
    ]
    workload = read_onnx(save(tmp_path / "w.onnx", nodes, {"w": floats(8, 8)}, [1, 8]))
    assert (workload.macs, workload.parameters) == (128, 64)


def test_an_exported_torch_model_counts_like_its_trace(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from trainers.models.cifar_resnet import resnet20
    from trainers.trace import trace_workload

    model, image = resnet20().eval(), torch.zeros(1, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is deprecated
        torch.onnx.export(model, (image,), str(tmp_path / "r.onnx"), dynamo=False)
    workload = read_onnx(tmp_path / "r.onnx")
    assert workload.macs == trace_workload(model, image).macs
    assert sum(layer.kind == "add" for layer in workload) == 9


def test_an_operator_of_a_domain_that_is_not_imported_is_refused(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Odd", ["x"], ["y"], domain="mine")], "net", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(tmp_path / "net.onnx"))
    with pytest.raises(WorkloadError, match=r"net\.onnx: .*mine"):
        read_onnx(tmp_path / "net.onnx")
