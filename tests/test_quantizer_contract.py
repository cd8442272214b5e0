"""What every method promises, at every width that it defines: a method joins by its line in `QUANTIZERS`."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from quantizer_checks import assert_law
from safetensors.torch import load, save
from torch import Tensor, nn

from hwsim.engines import ENGINES, simulate
from trainers.export import export
from trainers.layers import quant_layers
from trainers.promises import check_export
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers import QUANTIZERS, ROLES, Quantizer, make_quantizer, method_options

CHANNELS = 5
SHAPES = [(6, CHANNELS, 3, 3), (7, CHANNELS), (1, CHANNELS, 1, 2)]
EXTREMES = {"zero": 0.0, "constant": 0.7, "huge": 1e30, "tiny": 1e-30, "negative": -0.7}


class Case(NamedTuple):
    """A method in one role at one width."""

    name: str
    role: str
    bits: int
    signed: bool
    channels: int | None = None

    def build(self) -> Quantizer:
        """Return the quantizer; wide powers of two take fewer exponents, as all would not fit a product."""
        options = {"exponents": 8} if self.bits > 5 and "exponents" in method_options(QUANTIZERS[self.name]) else {}
        return make_quantizer(
            self.name, self.role, self.bits, signed=self.signed, channels=self.channels, in_channels=CHANNELS, **options
        )

    def data(self, *shape: int, seed: int = 0) -> Tensor:
        """Return values of the sign that the quantizer expects."""
        x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
        return x if self.signed else x.abs()

    def started(self, x: Tensor) -> Quantizer:
        """Return the quantizer in training mode, started from data."""
        quantizer = self.build()
        quantizer.initialize(x)
        quantizer.begin_epoch(0, 10)
        return quantizer


def defined_cases() -> Iterator[Case]:
    """Yield every case that a method does not refuse."""
    for name, method in QUANTIZERS.items():
        for role in method.roles:
            per_channel = role == "weights" and method.has_channel_scales
            for bits in range(1, 9):
                for signed in (True, False):
                    for channels in (None, 6) if per_channel else (None,):
                        case = Case(name, role, bits, signed, channels)
                        try:
                            case.build()
                        except ValueError:
                            continue
                        yield case


CASES = list(defined_cases())
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
usual_widths_first = pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case.bits in (2, 4) else pytest.mark.slow) for case in CASES],
    ids=lambda case: "-".join(map(str, case)),
)


def test_every_method_is_there_in_every_role_and_refuses_some_width() -> None:
    assert {(case.name, case.role) for case in CASES} == {(n, r) for n, m in QUANTIZERS.items() for r in m.roles}
    for name, method in QUANTIZERS.items():
        assert set(method.roles) <= set(ROLES)
        for role in method.roles:
            widths = {case.bits for case in CASES if (case.name, case.role) == (name, role)}
            assert {2, 4} <= widths
            for bits in (0, 9, -1):
                with pytest.raises(ValueError, match=f"bits.* {name}, got {bits}|sawb .*got {bits}"):
                    make_quantizer(name, role, bits, signed=role == "weights", in_channels=CHANNELS)


@every_case
def test_outputs_are_codes_times_scale_bit_for_bit(case: Case) -> None:
    quantizer = case.started(case.data(*SHAPES[0]))
    shapes = SHAPES if case.channels is None else SHAPES[:1]
    for seed, shape in enumerate(shapes):
        for factor in (1.0, 3.0, -1.0, 1e-6):
            assert_law(quantizer, case.data(*shape, seed=seed) * factor)
    fmt, step = quantizer.format, quantizer.input_scale.reshape(-1)[0]
    edges = torch.from_numpy(np.asarray(fmt.thresholds_as(np.float32))) * step + quantizer.input_offset
    around = torch.cat([torch.nextafter(edges, torch.tensor(end)) for end in (-math.inf, math.inf)] + [edges])
    assert_law(quantizer, around.repeat(shapes[0][0] * CHANNELS, 1)[: 6 * CHANNELS].reshape(6, CHANNELS, -1, 1))


@usual_widths_first
def test_codes_fit_the_bits_and_nan_is_refused(case: Case) -> None:
    quantizer = case.started(case.data(*SHAPES[0])).eval()
    codes = quantizer.codes(case.data(*SHAPES[0], seed=1) * 10)
    assert codes.dtype == torch.int64
    assert set(codes.flatten().tolist()) <= set(quantizer.format.codes.tolist())
    assert quantizer.format.code_bits == case.bits
    with pytest.raises(ValueError, match="NaN"):
        quantizer.codes(torch.full(SHAPES[0], math.nan))


@usual_widths_first
def test_outputs_and_gradients_stay_finite(case: Case) -> None:
    for kind, number in EXTREMES.items():
        value = torch.full(SHAPES[0], number)
        quantizer = case.started(value if case.signed else value.abs())
        for x in (value, torch.ones(SHAPES[0]), torch.full(SHAPES[0], 1e30)):
            inputs = x.clone().requires_grad_()
            out = quantizer(inputs)
            assert out.isfinite().all(), kind
            out.mean().backward()
            grads = [inputs.grad, *(parameter.grad for parameter in quantizer.parameters())]
            assert all(grad.isfinite().all() for grad in grads if grad is not None), kind


@usual_widths_first
@pytest.mark.parametrize("is_training", [True, False])
def test_nan_stays_nan_and_infinity_becomes_an_end(case: Case, is_training: bool) -> None:
    """A run that has lost its way must be seen to: no method may hide NaN among its levels."""
    for value in (math.nan, math.inf, -math.inf):
        quantizer = case.started(case.data(*SHAPES[0])).train(is_training)
        x = case.data(*SHAPES[0], seed=1)
        x[2, 3, 1, 1] = value
        if case.name == "inq" and is_training and math.isnan(value):
            with pytest.raises(ValueError, match="cannot quantize NaN"):  # rather than freeze it at a level
                quantizer(x)
            continue
        out = quantizer(x).detach()[2, 3, 1, 1]
        is_normalized = case.role == "weights" and (case.name == "daq" or (case.name == "apot" and is_training))
        if math.isnan(value) or is_normalized:  # by a mean, which is infinite
            assert out.isnan()
        elif case.name != "inq" or not is_training:  # a free weight stays as it is
            assert out.isfinite()


@usual_widths_first
def test_one_batch_can_be_overfitted(case: Case) -> None:
    """Values behind the quantizer, and what it learns itself, come near a target on its own grid."""
    quantizer, target = case.started(case.data(*SHAPES[0])), case.data(*SHAPES[0], seed=1)
    values = nn.Parameter(case.data(*SHAPES[0]))
    goal = quantizer.eval()(target).detach()
    groups: list[dict[str, Any]] = [
        {"params": [values]},
        {"params": [*quantizer.parameters()], "lr": 0.01 * quantizer.learning_rate},
    ]
    optimizer = torch.optim.Adam(groups, lr=0.05)
    losses = []
    for _ in range(60):
        loss = (quantizer.train()(values) - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-10:]) < 0.8 * losses[0]  # of INQ's weights half are frozen


@usual_widths_first
def test_state_survives_a_file_and_outputs_are_repeatable(case: Case) -> None:
    x = case.data(*SHAPES[0])
    source, target = case.started(x), case.build()
    source(x)
    target.load_state_dict(load(save(source.state_dict())), strict=True)
    source.eval()
    target.eval()
    assert target.format == source.format
    assert torch.equal(source(x), source(x))
    assert torch.equal(source(x), target(x))
    assert torch.equal(source.codes(x), target.codes(x))


@usual_widths_first
def test_float64_inputs_are_quantized_rightly(case: Case) -> None:
    x = case.data(*SHAPES[0])
    quantizer = case.started(x).eval()
    if any(isinstance(module, nn.Linear) for module in quantizer.modules()):
        with pytest.raises(RuntimeError, match="same dtype"):
            quantizer(x.double())
        return
    codes = quantizer.codes(x.double()).numpy()
    assert np.mean(codes != quantizer.codes(x).numpy()) < 0.02  # next to thresholds
    decoded = torch.from_numpy(quantizer.format.decode(codes))
    torch.testing.assert_close(quantizer(x.double()).double(), decoded * quantizer.scale_for(x.double()).double())


@pytest.mark.parametrize(("name", "role"), [(n, r) for n, m in QUANTIZERS.items() for r in m.roles])
def test_calibration_refuses_what_tells_nothing(name: str, role: str) -> None:
    case = next(case for case in CASES if (case.name, case.role) == (name, role))
    for x, rule in ((torch.zeros(0, CHANNELS), "at least one value"), (torch.full((2, CHANNELS), math.inf), "finite")):
        with pytest.raises(ValueError, match=f"calibration of {role} needs .*{rule}"):
            case.build().initialize(x)


def small_model() -> nn.Module:
    """Return two padded convolutions and a linear layer in eval mode."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, padding=(1, 0)))
    return nn.Sequential(*layers, nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 5)).eval()


PAIRS = [(name, "lsq") for name, method in QUANTIZERS.items() if "weights" in method.roles]
PAIRS += [("lsq", name) for name, method in QUANTIZERS.items() if "activations" in method.roles]
PAIRS += [("post", "apot"), ("pot", "lsq_plus"), ("apot", "lq_nets"), ("lq_nets", "qil"), ("dorefa", "apot")]


ONE_BIT = [(1, weights, activations) for weights in ("dorefa", "daq") for activations in ("dorefa", "daq")]


@pytest.mark.parametrize(("bits", "weights", "activations"), [(b, *pair) for b in (2, 4) for pair in PAIRS] + ONE_BIT)
def test_exported_integers_are_the_quantizers(weights: str, activations: str, bits: int) -> None:
    images = torch.rand(9, 2, 7, 5, generator=torch.Generator().manual_seed(1))
    others = {} if bits == 1 else {"3": {"act_bits": 6 - bits}}  # mixed widths
    config: dict[str, Any] = {"first_last_bits": None, "overrides": others}
    model = quantize(small_model(), QuantizationConfig(weights, activations, bits, **config), images).eval()
    network = export(model, (2, 7, 5))
    for node in network.layers:
        layer = quant_layers(model)[node.name]
        np.testing.assert_array_equal(node.weight, layer.weight_quantizer.codes(layer.weight).numpy())
        assert node.multiplier.weight == layer.weight_quantizer.format
        assert node.multiplier.activation == layer.activation_quantizer.format
    check = check_export(model, network, images, torch.zeros(9, dtype=torch.int64))
    assert check.laws_hold
    assert check.agreeing >= 8
    assert sum(layer.codes_differing for layer in check.layers) <= 0.02 * sum(layer.codes for layer in check.layers)
    outputs = [simulate(network, images.numpy(), engine).outputs for engine in ENGINES if engine != "cuda"]
    assert all(np.array_equal(outputs[0], other) for other in outputs)
