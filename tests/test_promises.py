"""The promises of export: they hold, and where they are broken it is seen."""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from export_models import IMAGES, SHAPE, quantized, random_images
from torch import Tensor, nn

from hwsim.arithmetic import IntArray
from hwsim.network import Network
from hwsim.nodes import Matmul, Node
from trainers.export import export
from trainers.layers import QuantLayer, quant_layers
from trainers.promises import ExportCheck, check_export, law_holds, recorded_inputs
from trainers.quantizers import QUANTIZERS, Quantizer, make_quantizer
from trainers.quantizers.base import spread
from trainers.quantizers.lsq import LsqQuantizer

LABELS = torch.arange(IMAGES) % 5


def checked(model: nn.Module, network: Network, **options: object) -> ExportCheck:
    return check_export(model, network, random_images(), LABELS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", QUANTIZERS)
@pytest.mark.parametrize("channels", [None, 3])
def test_law_holds_for_every_method(name: str, channels: int | None) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 5, 2)
    quantizer = make_quantizer(name, QUANTIZERS[name].roles[0], 4, channels=channels, in_channels=4)
    quantizer.initialize(x)
    assert law_holds(quantizer.eval(), x)


class OneUlpOff(LsqQuantizer):
    """Computes with the next float."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the levels, each a little larger."""
        return torch.nextafter(super().forward(x), torch.tensor(torch.inf))


class OtherCodes(LsqQuantizer):
    """Exports one level more than it computes with."""

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of the levels above."""
        return super().codes(x + spread(self.scale, x))


class OtherScale(LsqQuantizer):
    """Exports another scale than it computes with."""

    @property
    def scale(self) -> Tensor:
        """Twice the scale."""
        return 2 * super().scale


BROKEN = (OneUlpOff, OtherCodes, OtherScale)


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_quantizer_breaks_the_law(broken: type[Quantizer]) -> None:
    quantizer = broken("weights", 4)
    quantizer.initialize(torch.linspace(-1, 1, 50))
    assert not law_holds(quantizer, torch.linspace(-1, 1, 50))


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("role", ["weight_quantizer", "activation_quantizer"])
def test_layer_of_a_broken_quantizer_is_told(broken: type[Quantizer], role: str) -> None:
    model = quantized("linear_only", "uniform")
    network = export(model, SHAPE)
    quantizer = getattr(quant_layers(model)["3"], role)
    quantizer.__class__ = broken
    check = checked(model, network)
    assert not check.laws_hold
    assert [layer.layer for layer in check.layers if not layer.law_holds] == ["3"]


def with_weight(network: Network, name: str, change: Callable[[IntArray], IntArray]) -> Network:
    """Return the network with the weight codes of one layer changed."""

    def changed(node: Node) -> Node:
        return replace(node, weight=change(node.weight)) if isinstance(node, Matmul) and node.name == name else node

    return replace(network, nodes=tuple(changed(node) for node in network.nodes))


def test_wrong_weight_is_seen_in_the_codes_behind_it() -> None:
    model = quantized("plain", "uniform")
    network = export(model, SHAPE)
    wrong = with_weight(network, "4", lambda codes: (codes + 3) % 16)
    right, found = checked(model, network), checked(model, wrong)
    differing = {layer.layer: layer.codes_differing for layer in found.layers}
    assert [differing["0"], differing["4"]] == [right.layers[0].codes_differing, right.layers[1].codes_differing]
    assert differing["8"] > 100
    assert found.laws_hold


def test_wrong_prediction_is_seen() -> None:
    model = quantized("plain", "uniform")
    network = export(model, SHAPE)
    wrong = checked(model, with_weight(network, "13", lambda codes: -codes % 256))
    assert wrong.agreeing == 0
    assert wrong.qat_correct == checked(model, network).qat_correct
    assert [layer.codes_differing for layer in wrong.layers] == [0] * 5


def test_counts_are_sums_over_the_images_and_do_not_depend_on_batches_or_engine() -> None:
    model = quantized("residual_a", "post")
    network = export(model, SHAPE)
    seen: list[tuple[int, int]] = []
    whole = checked(model, network)
    parts = checked(model, network, batch_size=5, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(5, 16), (10, 16), (15, 16), (16, 16)]
    assert parts == whole
    slow = checked(model, network, engine="reference")
    assert replace(slow, layers=()) == replace(whole, layers=())
    assert [replace(layer, path="") for layer in slow.layers] == [replace(layer, path="") for layer in whole.layers]
    sizes = {name: np.prod(network.shapes[f"{name}.quantize"]) for name in quant_layers(model)}
    assert {layer.layer: layer.codes for layer in whole.layers} == {n: IMAGES * size for n, size in sizes.items()}
    with torch.no_grad():
        assert whole.qat_correct == int((model(random_images()).argmax(1) == LABELS).sum())
    assert whole.integer_correct == whole.qat_correct
    assert [layer.required_bits for layer in whole.layers] == [layer.accumulator_bits for layer in whole.layers]


def test_check_leaves_the_model_as_it_was() -> None:
    model = quantized("residual_a", "uniform").train()
    network = export(model, SHAPE)
    before = copy.deepcopy(model.state_dict())
    checked(model, network)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_no_images_and_wrong_images_are_refused() -> None:
    model = quantized("linear_only", "uniform")
    network = export(model, SHAPE)
    with pytest.raises(ValueError, match="the export is checked on images, got none"):
        check_export(model, network, torch.empty(0, *SHAPE), LABELS[:0])
    with pytest.raises(ValueError, match=r"images must have shape \(N, 2, 8, 8\)"):
        check_export(model, network, torch.zeros(3, 1, 8, 16), LABELS[:3])


def test_recording_inputs_ends_even_after_an_error() -> None:
    model = quantized("linear_only", "uniform")
    layers: dict[str, QuantLayer] = quant_layers(model)
    with pytest.raises(RuntimeError, match="mat1 and mat2"), recorded_inputs(layers) as inputs:
        model(torch.zeros(1, 3, 3))
    assert set(inputs) == {"1"}
    inputs.clear()
    model(random_images())
    assert not inputs
