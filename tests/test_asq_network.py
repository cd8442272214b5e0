"""ASQ in integers: the adapter's arithmetic by hand, its export and its error, its promises, its cost."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import assert_equal, both
from export_models import SHAPE, random_images, random_model
from torch import Tensor, nn

from hwsim.accumulator import Accumulator
from hwsim.adapter import AdapterLayer, divided, multiplied
from hwsim.arithmetic import Requantizer
from hwsim.cost import network_cost, overhead
from hwsim.engines import simulate
from hwsim.formats import Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Datapath, Network
from hwsim.network_file import load_network, save_network
from hwsim.nodes import Adapter, AdaptiveQuantize, AdaptiveRescale, Conv, Input, Matmul, Quantize, Rescale
from hwsim.workload import Workload
from trainers.export import ExportConfig, export
from trainers.layers import quant_layers
from trainers.promises import check_export
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers.asq import READINGS, AsqQuantizer

CODES = Uniform(4, signed=False)


def scale(multiplier: int = 1, shift: int = 0, rounding: str = "half_up") -> Requantizer:
    return Requantizer(np.array(multiplier), np.array(shift), rounding)


def ints(*values: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def network() -> Network:
    """Two channels of 1 x 2; beta = min(max(floor(((sum0 + 2 sum1) clipped to 255) / 4 + 1/2), 1), 15)."""
    multiplier = multiplier_for(Uniform(4), CODES)
    weight, accumulator = np.array([[[[1]], [[2]]]]), Accumulator(12)
    nodes = (
        Input("image", (), (2, 1, 2)),
        Adapter(
            "beta",
            ("image",),
            format=Uniform(8, signed=False),
            requantizer=scale(),
            layers=(AdapterLayer(ints([1, 2]), ints(0), scale()), AdapterLayer(ints([1]), ints(0), scale(1, 2))),
            bits=4,
            frac_bits=2,
        ),
        AdaptiveQuantize("codes", ("image", "beta"), format=CODES, requantizer=scale(64, 4)),
        Conv("conv", ("codes",), weight=weight, multiplier=multiplier, accumulator=accumulator),
        AdaptiveRescale("out", ("conv", "beta"), requantizer=scale(100, 3), bias=ints(7), beta_bits=4),
    )
    return Network(nodes, Datapath(16, 0))


def test_arithmetic_by_hand() -> None:
    """Sample 0: sums 3, 4; 11 / 4 -> 3; 64 / 3 -> 21; codes x * 21 / 16; 100 * 3 / 16 -> 19. Sample 1: all negative."""
    images = [[[[1, 2]], [[3, 1]]], [[[-9, -9]], [[-1, 5]]], [[[100, 100]], [[100, 3]]]]
    trace = both(network(), np.array(images, np.float64)).trace
    assert trace is not None
    assert trace["beta"].tolist() == [[3], [2], [15]]  # 0 + 2 * 4 = 8 -> 2; 200 + 206 beyond 255 -> 64 -> 15
    assert trace["codes"][0].tolist() == [[[1, 3]], [[4, 1]]]  # 1.31, 2.63, 3.94, 1.31
    assert trace["codes"][1].tolist() == [[[0, 0]], [[0, 10]]]  # 64 / 2 = 32: 5 * 32 / 16
    assert trace["codes"][2].tolist() == [[[15, 15]], [[15, 1]]]  # 64 / 15 -> 4: 100 / 4, 3 / 4
    assert trace["conv"][0].tolist() == [[[9, 5]]]
    assert trace["out"][0].tolist() == [[[28, 19]]]  # 9 * 19 / 8 + 7 = 28.4, 5 * 19 / 8 + 7 = 18.9


def test_a_negative_factor_becomes_the_smallest() -> None:
    good = network()
    nodes = tuple(
        replace(n, layers=(n.layers[0], AdapterLayer(ints([-1]), ints(0), scale()))) if isinstance(n, Adapter) else n
        for n in good.nodes
    )
    trace = both(replace(good, nodes=nodes), np.ones((2, 2, 1, 2))).trace
    assert trace is not None
    assert trace["beta"].tolist() == [[1], [1]]
    assert trace["codes"].max() == 4  # 1 * 64 / 16


@pytest.mark.parametrize("multiplier", [-9, 0, 1, 7, 2**31 - 1])
@pytest.mark.parametrize("beta", [1, 2, 3, 4095, 65535])
def test_multipliers_are_the_nearest_integers_the_upper_of_two(multiplier: int, beta: int) -> None:
    quotient = divided(scale(multiplier), ints(beta)).item()
    product = multiplied(scale(multiplier), ints(beta), 16).item()
    assert quotient == math.floor(Fraction(multiplier, beta) + Fraction(1, 2))
    assert product == math.floor(Fraction(multiplier * beta, 2**16) + Fraction(1, 2))
    assert abs(quotient) <= abs(multiplier)
    assert abs(product) <= abs(multiplier)


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (ints([128]), ints(0), r"an adapter's weights have 8 bits, got 128\.\.128"),
        (ints([-129]), ints(0), "an adapter's weights have 8 bits, got -129"),
        (ints(1), ints(0), r"weights \(J, C\) and a bias \(J,\), got \(1,\), \(1,\)"),
        (ints([1]), ints(0, 0), r"got \(1, 1\), \(2,\)"),
    ],
)
def test_bad_layers_are_refused(weight: Any, bias: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdapterLayer(weight, bias, scale())


def test_widened_multipliers_stand_for_the_same_scale() -> None:
    before = Requantizer(ints(0, 1, -3, 2**24 - 1), ints(0, 2, 3, 60))
    after = before.widened(24)
    np.testing.assert_array_equal(after.scale, before.scale)
    assert after.multiplier.tolist() == [0, 2**23, -3 * 2**22, 2**24 - 1]
    assert Requantizer(ints(1), ints(60)).widened(24).multiplier.tolist() == [4]  # the shift ends at 62


def adapted(
    name: str, weights: str = "post", bits: int = 4, reading: str = "adapted_step", spread: float = 0.3
) -> nn.Module:
    """Return a random network with ASQ everywhere, whose factors depend on the image."""
    config = QuantizationConfig("post", "asq", 4, first_last_bits=None, activation_options={"dequantize": reading})
    torch.manual_seed(0)
    model = quantize(random_model(name), config, random_images()).eval()
    for layer in quant_layers(model).values():
        quantizer = layer.activation_quantizer
        assert isinstance(quantizer, AsqQuantizer)
        nn.init.normal_(quantizer.adapter.last.weight, 0, spread)
    return model


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("name", ["residual_b", "linear_only", "sharing"])
def test_exported_networks_keep_the_promises_in_every_engine(name: str, reading: str, tmp_path: Path) -> None:
    model = adapted(name, reading=reading)
    exported = export(model, SHAPE)
    kinds = {type(node) for node in exported.nodes if isinstance(node, Quantize | Rescale)}
    assert kinds == {AdaptiveQuantize, AdaptiveRescale if reading == "adapted_step" else Rescale}
    images = random_images(1)
    both(exported, images.numpy())
    check = check_export(model, exported, images, torch.zeros(len(images), dtype=torch.int64))
    assert check.laws_hold
    assert check.agreeing >= len(images) - 2
    assert sum(layer.codes_differing for layer in check.layers) < 0.05 * sum(layer.codes for layer in check.layers)
    save_network(exported, tmp_path / "asq.safetensors")
    again = load_network(tmp_path / "asq.safetensors")
    one, other = (simulate(n, images.numpy(), trace=True) for n in (exported, again))
    assert_equal(one, other)


def betas(model: nn.Module, exported: Network, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first layer's factors: fixed point, and float."""
    trace = simulate(exported, images.numpy(), trace=True).trace
    assert trace is not None
    name, layer = next(iter(quant_layers(model).items()))
    node = exported.node(f"{name}.adapter")
    quantizer = layer.activation_quantizer
    assert isinstance(node, Adapter)
    assert isinstance(quantizer, AsqQuantizer)
    with torch.no_grad():
        return torch.from_numpy(trace[node.name]) / 2.0**node.frac_bits, quantizer.adapter(images.flatten(1))[:, None]


@pytest.mark.parametrize("seed", range(5))
def test_fixed_point_factors_are_near_the_float_ones(seed: int) -> None:
    """Half a step of every code and weight, through both layers: derived as a bound, and met.

    Inputs are off by at most half their step, and so are weights; the hidden codes add half a step of theirs, beta
    half a unit. Biases and multipliers are off by far less: 1 % of the bound is left for them.
    """
    model = adapted("linear_only")
    first = next(iter(quant_layers(model).values())).activation_quantizer
    assert isinstance(first, AsqQuantizer)
    exported, images = export(model, SHAPE), random_images(seed)
    linear, last = first.adapter.layers
    assert isinstance(linear, nn.Linear)
    assert isinstance(last, nn.Linear)
    peaks = first.adapter.peaks.tolist()
    inputs = [peak / 2 / top for peak, top in zip(peaks, (255, 255), strict=True)]
    rounding = [float(layer.weight.detach().abs().max()) / 254 for layer in (linear, last)]
    x = images.flatten(1).clamp(max=peaks[0])
    hidden = linear.weight.detach().abs().sum(1) * inputs[0] + (x + inputs[0]).sum(1, keepdim=True) * rounding[0]
    top = linear(x).detach().relu() + hidden
    bound = (hidden + inputs[1]) @ last.weight.detach().abs().T + top.sum(1, keepdim=True) * rounding[1] + 2.0**-13
    fixed, exact = betas(model, exported, images)
    in_range = (linear(images.flatten(1)).amax(1) <= peaks[1]) & (images.flatten(1).amax(1) <= peaks[0])
    assert in_range.any()
    assert ((fixed - exact).abs() <= 1.01 * bound)[in_range].all()
    assert float((fixed - exact).abs()[in_range].max()) < 0.03


def test_a_started_adapter_exports_factors_near_one() -> None:
    model = adapted("linear_only", spread=0.01)
    fixed, exact = betas(model, export(model, SHAPE), random_images())
    assert float((fixed / exact - 1).abs().max()) < 0.005


def test_a_wide_datapath_is_refused() -> None:
    with pytest.raises(ValueError, match="datapath of 48 bits leaves 15 bits for multipliers that beta divides"):
        export(adapted("linear_only"), SHAPE, ExportConfig(datapath=Datapath(48, 30)))


def test_an_adapter_that_is_not_finite_is_refused() -> None:
    model = adapted("linear_only")
    next(p for n, p in model.named_parameters() if n.endswith("adapter.layers.0.bias")).data[0] = torch.nan
    with pytest.raises(ValueError, match=r"1\.adapter: a weight or bias of the adapter is not finite"):
        export(model, SHAPE)


def test_every_operation_of_the_adapter_is_counted() -> None:
    """Derivation: pooling 2 sums of 2; products 2 + 1; a division; a product for the multiplier."""
    table = network_cost(network())
    own = {(e.part, e.quantity): e.value for e in table if e.layer == "beta"}
    assert own["pool.avg_pool", "add"] == 2
    assert own["pool.avg_pool", "multiply"] == own["pool.avg_pool", "shift"] == 2
    assert own["codes.clip", "compare"] == 4
    assert (own["linear1.products", "macs"], own["linear2.products", "macs"]) == (2, 1)
    assert own["linear1.products", "bops"] == 2 * 8 * 8
    assert own["linear1.bias", "add"] == 1
    assert own["codes1.quantize", "multiply"] == own["quantize", "multiply"] == 1
    assert (own["linear1.weights", "parameters"], own["linear2.weights", "parameters"]) == (2, 1)
    assert own["linear1.codes", "storage_bits"] == 16
    adapted_nodes = {(e.layer, e.part, e.quantity): e.value for e in table}
    assert adapted_nodes["codes", "multipliers.reciprocal", "reciprocal"] == 1
    assert adapted_nodes["codes", "quantize", "multiply"] == 4
    assert adapted_nodes["out", "multipliers.multiply", "multiply"] == 1
    assert adapted_nodes["out", "rescale", "multiply"] == 2


def test_the_workload_is_a_graph_with_the_adapter_between() -> None:
    workload = Workload.from_network(network())
    assert workload.layer("codes").inputs == ("image", "codes/multipliers")
    assert workload.layer("codes/multipliers").inputs == ("beta",)
    assert [layer.key for layer in workload if layer.name == "beta"] == [
        "beta/pool", "beta/codes", "beta/linear1", "beta/codes1", "beta/linear2", "beta",
    ]  # fmt: skip
    assert [node.name for node in network().nodes if isinstance(node, Matmul)] == ["conv"]


def test_overhead_of_a_network_is_counted_from_its_nodes_with_the_papers_beside() -> None:
    """Derivation: 8-bit MACs of all adapters over 4-bit MACs of all layers; the paper's by its formula."""
    exported = export(adapted("residual_b"), SHAPE)
    workload = Workload.from_network(exported)
    rows = {(e.quantity, e.convention): e for e in overhead(workload)}
    adapters = [node for node in exported.nodes if isinstance(node, Adapter)]
    small = sum(layer.weight.size for node in adapters for layer in node.layers) * 64
    large = sum(layer.macs for layer in workload.mac_layers if not layer.part) * 16
    assert rows["bops_overhead", "as_it_runs_in_fixed_point"].value == pytest.approx(100 * small / large)
    plain = [layer for layer in workload if layer.op != "Adapter"]
    stored = sum(x.weights * 4 + x.biases * x.bias_bits + x.scales * x.scale_bits for x in plain)
    every = sum(x.weights * x.weight_bits + x.biases * x.bias_bits + x.scales * x.scale_bits for x in workload)
    assert rows["parameters_overhead", "as_it_runs_in_fixed_point"].value == pytest.approx(100 * (every / stored - 1))
    inner = [node for node in exported.layers[1:-1] if isinstance(node, Conv)]
    products = sum(workload.layer(node.name).macs for node in inner) * 4
    paper = sum(2 * 8 * ((c + 1) * (c // 4) if c >= 8 else c) for c in (n.weight.shape[1] for n in inner))
    assert rows["compute_overhead", "asq_table1"].value == pytest.approx(100 * paper / products)
    assert {e.part for e in rows.values()} == {"4 bits"}
