"""Training through the hardware: forward is the integer network, the gradient is the exact layer's."""

import engine_checks
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.accumulator import Accumulator
from hwsim.engines import simulate
from hwsim.exchange import with_tables
from trainers.data import load_dataset
from trainers.evaluate import as_inputs, count_correct
from trainers.export import export
from trainers.hardware import Hardware, on_hardware
from trainers.layers import QuantConv2d, quant_layers
from trainers.models import make_model
from trainers.quantize import QuantizationConfig, quantize

strict_torch = engine_checks.strict_torch
DIGITS = load_dataset("digits", None)
BITS = QuantizationConfig(bits=4, first_last_bits=4)


def batches(seed: int, epochs: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    count = len(DIGITS.train_images)
    orders = [torch.randperm(count, generator=generator) for _ in range(epochs)]
    return [order[i : i + 64] for order in orders for i in range(0, count, 64)]


def fit(model: nn.Module, parts: list[Tensor], lr: float) -> None:
    """Train by SGD with a learning rate that falls to zero."""
    images, labels = torch.from_numpy(DIGITS.train_images), torch.from_numpy(DIGITS.train_labels).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    model.train()
    for step, part in enumerate(parts):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / len(parts))
        loss = nn.functional.cross_entropy(model(as_inputs(images[part], DIGITS)), labels[part])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """The parameters of a network that was trained with exact products."""
    torch.manual_seed(0)
    model = make_model("digits_resnet")
    fit(model, batches(0, 15), 0.1)
    model = quantize(model, BITS, as_inputs(torch.from_numpy(DIGITS.train_images[:200]), DIGITS))
    fit(model, batches(1, 5), 0.02)
    return model.state_dict()


def trained(state: dict[str, Tensor]) -> nn.Module:
    model = quantize(make_model("digits_resnet"), BITS, as_inputs(torch.from_numpy(DIGITS.train_images[:200]), DIGITS))
    model.load_state_dict(state)
    return model.eval()


@pytest.mark.parametrize(
    "hardware",
    [Hardware("drum"), Hardware("mitchell", Accumulator(8, "saturate")), Hardware(None, Accumulator(8, "wrap"))],
)
def test_the_model_on_hardware_is_the_integer_network(state: dict[str, Tensor], hardware: Hardware) -> None:
    model = trained(state)
    network = export(model, DIGITS.test_images.shape[1:])
    if hardware.table:
        network = with_tables(network, [hardware.table])
    if hardware.accumulator.bits < 62:
        network = network.with_accumulator(hardware.accumulator)
    pixels = as_inputs(torch.from_numpy(DIGITS.test_images), DIGITS)
    with on_hardware(model, hardware), torch.no_grad():
        found = model(pixels).argmax(1).numpy()
    agree = np.count_nonzero(found == simulate(network, pixels.double().numpy()).predictions)
    assert agree >= len(found) - 3  # rescaling rounds to the datapath; that is all that differs


def test_the_gradient_is_the_exact_layers_gradient(state: dict[str, Tensor]) -> None:
    layer = next(layer for layer in quant_layers(trained(state)).values() if isinstance(layer, QuantConv2d))
    holder, x = nn.Sequential(layer), torch.rand(3, layer.in_channels, 8, 8)
    exact = layer(x)
    exact.sum().backward()
    expected, layer.weight.grad = layer.weight.grad, None
    with on_hardware(holder, Hardware("truncated")):
        simulated = holder(x)
        simulated.sum().backward()
    assert layer.weight.grad is not None
    assert expected is not None
    torch.testing.assert_close(layer.weight.grad, expected, rtol=0, atol=0)
    assert not torch.equal(simulated, exact)
    torch.testing.assert_close(holder(x), exact, rtol=0, atol=0)


def test_training_through_a_coarse_table_recovers_accuracy(state: dict[str, Tensor]) -> None:
    model, hardware, images = trained(state), Hardware("drum"), len(DIGITS.test_labels)
    exact = count_correct(model, DIGITS)
    with on_hardware(model, hardware):
        before = count_correct(model, DIGITS)
        fit(model, batches(2, 8), 0.01)
        after = count_correct(model, DIGITS)
    assert exact > 0.9 * images
    assert before < 0.7 * images
    assert after > 0.75 * images
    assert after - before > (exact - before) // 2
