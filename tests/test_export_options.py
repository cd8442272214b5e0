"""The hardware that a network is exported to: accumulators, datapath, rescaling, tables."""

import numpy as np
import pytest
import torch
from export_models import SHAPE, quantized, random_images

from hwsim.arithmetic import ROUNDINGS
from hwsim.engines import simulate
from hwsim.multipliers import LAYOUTS, LookupTableMultiplier
from hwsim.network import Datapath
from hwsim.nodes import AvgPool, Quantize, Rescale
from trainers.export import ExportConfig, export
from trainers.promises import check_export

every_family = pytest.mark.parametrize("weights", ["uniform", "pot", "post"])


def test_accumulator_that_is_too_narrow_says_how_many_bits_would_do() -> None:
    model = quantized("plain", "uniform")
    needed = {node.name: node.required_bits for node in export(model, SHAPE).layers}
    assert [node.accumulator.bits for node in export(model, SHAPE).layers] == list(needed.values())
    first = next(iter(needed))
    bits = f"too wide for an accumulator of 8 bits with overflow='error'; {needed[first]} bits would do"
    with pytest.raises(ValueError, match=f"node {first!r}: channel .*, {bits}"):
        export(model, SHAPE, ExportConfig(accumulator_bits=8))
    with pytest.raises(ValueError, match=r"accumulator bits must be an integer in 2\.\.63, got 0"):
        export(model, SHAPE, ExportConfig(accumulator_bits=0))
    with pytest.raises(ValueError, match="unknown overflow mode 'warp'; did you mean 'wrap'"):
        export(model, SHAPE, ExportConfig(overflow="warp"))
    wide = export(model, SHAPE, ExportConfig(accumulator_bits=max(needed.values())))
    assert {node.accumulator.bits for node in wide.layers} == {max(needed.values())}


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@every_family
def test_narrow_accumulators_overflow_and_are_counted(weights: str, overflow: str) -> None:
    model, images = quantized("plain", weights), random_images()
    network = export(model, SHAPE, ExportConfig(accumulator_bits=9, overflow=overflow))
    fast, slow = (simulate(network, images.numpy(), engine) for engine in ("tensor", "reference"))
    np.testing.assert_array_equal(fast.outputs, slow.outputs)
    assert fast.overflows == slow.overflows
    check = check_export(model, network, images, torch.zeros(len(images), dtype=torch.int64))
    assert check.overflows == sum(fast.overflows.values()) > 0


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rounding_and_multiplier_bits_arrive_in_every_rescaling(rounding: str) -> None:
    network = export(quantized("plain", "pot"), SHAPE, ExportConfig(rounding=rounding, multiplier_bits=9))
    rescaling = [node.requantizer for node in network.nodes if isinstance(node, Quantize | Rescale | AvgPool)]
    assert {requantizer.rounding for requantizer in rescaling} == {rounding}
    multipliers = [abs(int(m)) for requantizer in rescaling for m in requantizer.multiplier.flat if m]
    significant = [m // (m & -m) for m in multipliers]  # zeros at the end count nothing
    assert 2**8 < max(significant) < 2**9
    images = random_images().numpy()
    fast, slow = (simulate(network, images, engine).outputs for engine in ("tensor", "reference"))
    np.testing.assert_array_equal(fast, slow)


def test_narrow_datapath_saturates_and_is_counted() -> None:
    model, images = quantized("plain", "uniform"), random_images()
    labels = torch.zeros(len(images), dtype=torch.int64)
    fine = export(model, SHAPE, ExportConfig(datapath=Datapath(24, 12)))
    assert check_export(model, fine, images, labels).overflows == 0
    narrow = export(model, SHAPE, ExportConfig(datapath=Datapath(12, 12)))
    check = check_export(model, narrow, images, labels)
    assert sum(layer.datapath_overflows for layer in check.layers) > 0
    assert sum(layer.accumulator_overflows for layer in check.layers) == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_table_options_arrive_in_the_multipliers(layout: str) -> None:
    network = export(quantized("plain", "post"), SHAPE, ExportConfig(fraction_bits=2, layout=layout))
    tables = [m for m in (node.multiplier for node in network.layers) if isinstance(m, LookupTableMultiplier)]
    assert len(tables) == len(network.layers) - 2  # the first and the last layer are uniform
    assert {(table.fraction_bits, table.layout) for table in tables} == {(2, layout)}


def test_finer_tables_come_nearer_to_the_model() -> None:
    model, images = quantized("residual_b", "post", signed=True), random_images(signed=True)
    labels = torch.zeros(len(images), dtype=torch.int64)
    differing = []
    for fraction_bits in (0, 4, 12):
        check = check_export(model, export(model, SHAPE, ExportConfig(fraction_bits=fraction_bits)), images, labels)
        differing.append(sum(layer.codes_differing for layer in check.layers))
    assert differing[0] > differing[1] > differing[2]
    assert differing[2] <= 3
