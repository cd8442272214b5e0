"""The methods with fixed levels and one learned step, exactly, over all their bit widths."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.quantizers import QUANTIZERS, ROLES, Quantizer, find_method, make_quantizer
from trainers.quantizers.base import LARGEST_SCALE, SMALLEST_SCALE
from trainers.quantizers.step import StepQuantizer
from trainers.quantizers.straight_through import nearest_level, round_to_integer, round_to_level

BITS = range(2, 9)
STEP_METHODS = ("lsq", "pot", "post")


def options_for(name: str, bits: int) -> dict[str, Any]:
    """All exponents of a wide power-of-two code would not fit a product: take 8."""
    return {"exponents": 8} if name in ("pot", "post") and bits > 4 else {}


def every_case() -> list[Any]:
    cases = []
    for name in STEP_METHODS:
        method = QUANTIZERS[name]
        for bits in BITS:
            options = options_for(name, bits)
            for role in method.roles:
                signs = (True,) if role == "weights" else (True, False)
                cases += [(name, role, bits, {"signed": signed, **options}) for signed in signs]
            if "pot" in name or "post" in name:
                cases.append((name, "weights", bits, {**options, "extended": True}))
    return [pytest.param(case, id="-".join(str(part) for part in case)) for case in cases]


every_quantizer = pytest.mark.parametrize("case", every_case())


def build(case: tuple[str, str, int, dict[str, Any]], channels: int | None = None) -> StepQuantizer:
    name, role, bits, options = case
    return make_step_quantizer(name, role, bits, channels=channels, **options)


def make_step_quantizer(name: str, role: str, bits: int, **options: Any) -> StepQuantizer:
    quantizer = make_quantizer(name, role, bits, **options)
    assert isinstance(quantizer, StepQuantizer)
    return quantizer


def ratios_around_thresholds(quantizer: Quantizer) -> Tensor:
    """Every float32 threshold with its two neighbours, every level, zero, and points beyond both ends."""
    fmt = quantizer.format
    thresholds = fmt.thresholds_as(np.float32).astype(np.float32)
    infinity = np.float32(np.inf)
    below, above = np.nextafter(thresholds, -infinity), np.nextafter(thresholds, infinity)
    beyond = np.array([0.0, 2 * fmt.min_level, 2 * fmt.max_level, -infinity, infinity], np.float32)
    levels = fmt.levels[fmt.codes].astype(np.float32)
    return torch.from_numpy(np.concatenate([thresholds, below, above, levels, beyond]))


def assert_law(quantizer: Quantizer, x: Tensor) -> None:
    """`q(x) == decode(codes(x)) * scale`, and the codes are those of the format, exactly."""
    scale = quantizer.scale.reshape(-1, *[1] * (x.dim() - 1)) if quantizer.per_channel else quantizer.scale
    codes = quantizer.codes(x).numpy()
    np.testing.assert_array_equal(codes, quantizer.format.encode((x / scale).numpy()))
    decoded = torch.from_numpy(quantizer.format.decode(codes).astype(np.float32))
    assert torch.equal(quantizer(x).detach(), decoded * scale)
    assert torch.equal(quantizer.levels(x), decoded)


@every_quantizer
@pytest.mark.parametrize("exponent", [-20, 0, 3])
def test_codes_are_the_formats_around_every_threshold(case: Any, exponent: int) -> None:
    quantizer = build(case)
    with torch.no_grad():
        quantizer.step.fill_(2.0**exponent)  # x / scale is then exactly the ratio
    finite = ratios_around_thresholds(quantizer)
    assert_law(quantizer, finite[finite.isfinite()] * 2.0**exponent)


@every_quantizer
def test_codes_fit_their_bits_and_refuse_nan(case: Any) -> None:
    quantizer = build(case)
    codes = quantizer.codes(ratios_around_thresholds(quantizer))
    assert codes.dtype == torch.int64
    assert sorted(set(codes.tolist())) == sorted(quantizer.format.codes.tolist())
    with pytest.raises(ValueError, match="cannot quantize NaN"):
        quantizer.codes(torch.tensor([1.0, math.nan]))


@every_quantizer
@pytest.mark.parametrize(
    "x",
    [torch.zeros(4, 9), torch.full((4, 9), 0.7), torch.full((4, 9), 1e30), torch.full((4, 9), 1e-36), torch.eye(4, 9)],
    ids=["zero", "constant", "huge", "tiny", "sparse"],
)
def test_outputs_and_gradients_stay_finite(case: Any, x: Tensor) -> None:
    for channels in (None, 4) if case[1] == "weights" else (None,):
        quantizer = build(case, channels)
        quantizer.initialize(x)
        for data in (x, torch.ones(4, 9), torch.full((4, 9), 1e30)):
            inputs = data.clone().requires_grad_()
            out = quantizer(inputs)
            out.mean().backward()
            assert out.isfinite().all()
            assert inputs.grad is not None
            assert inputs.grad.isfinite().all()
            assert quantizer.step.grad is not None
            assert quantizer.step.grad.isfinite().all()


def relaxed(x: Tensor, scale: Tensor, offset: Tensor, nearest: Tensor, inside: Tensor) -> Tensor:
    """The function whose slope a straight-through gradient is: rounding adds a constant offset to the ratio."""
    return torch.where(inside, (x / scale + offset) * scale, nearest * scale)


@every_quantizer
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_are_the_slopes_of_the_relaxed_function(case: Any, sign: float) -> None:
    generator = torch.Generator().manual_seed(2)
    quantizer = build(case, channels=3 if case[1] == "weights" else None).double()
    x = torch.randn(3, 40, generator=generator, dtype=torch.float64)
    quantizer.initialize(x)
    with torch.no_grad():
        quantizer.step.mul_(0.6 * sign)  # so that both ends are passed by some values
    weight = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    inputs = x.clone().requires_grad_()
    (quantizer(inputs) * weight).sum().backward()

    fmt, scale = quantizer.format, quantizer.scale
    scale = scale.reshape(-1, 1) if scale.dim() else scale
    ratio, nearest = x / scale, quantizer.levels(x)
    inside = (ratio >= fmt.min_level) & (ratio <= fmt.max_level)
    fixed = (nearest - ratio, nearest, inside)

    def slope(dx: float, ds: float) -> Tensor:
        ahead = relaxed(x + dx, scale + ds, *fixed)
        return (ahead - relaxed(x - dx, scale - ds, *fixed)) / (2 * (dx + ds)) * weight

    assert inputs.grad is not None
    assert quantizer.step.grad is not None
    torch.testing.assert_close(inputs.grad, slope(1e-6, 0.0), rtol=1e-6, atol=1e-8)
    by_scale = slope(0.0, 1e-6)
    expected = by_scale.sum(1) if quantizer.per_channel else by_scale.sum()
    shared = 40 if quantizer.per_channel else 120  # values that share the scale
    limit = fmt.max_level
    torch.testing.assert_close(quantizer.step.grad, sign * expected / math.sqrt(shared * limit), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("value", [0.0, -0.5, 1e-40, 1e38])
def test_scale_is_positive_whatever_the_parameter(value: float) -> None:
    quantizer = make_step_quantizer("lsq", "weights", 4)
    with torch.no_grad():
        quantizer.step.fill_(value)
    assert SMALLEST_SCALE <= float(quantizer.scale) <= LARGEST_SCALE


def test_starting_scales_are_those_of_the_papers() -> None:
    x = torch.tensor([[1.0, -2.0, 3.0], [0.0, 0.5, -1.0]])
    per_tensor, per_channel = make_quantizer("lsq", "weights", 4), make_quantizer("lsq", "weights", 4, channels=2)
    post = make_quantizer("post", "weights", 4, channels=2)
    two_bits = make_quantizer("lsq", "weights", 2)
    for quantizer in (per_tensor, per_channel, post, two_bits):
        quantizer.initialize(x)
    assert float(two_bits.scale) == pytest.approx(2 * 1.25)  # 2 mean / sqrt(p), p = 1
    assert float(per_tensor.scale) == pytest.approx(3 / 7)  # max / p, where that is smaller
    assert per_channel.scale.tolist() == pytest.approx([3 / 7, 1 / 7])
    assert post.scale.tolist() == pytest.approx([2.98, 0.99])  # quantile 0.99 of three values lies 98 % of the last gap


def test_a_channel_of_zeros_starts_at_one() -> None:
    quantizer = make_quantizer("pot", "weights", 3, channels=2)
    quantizer.initialize(torch.tensor([[0.0, 0.0], [0.25, 0.25]]))
    assert quantizer.scale.tolist() == [1.0, 0.25]


def test_state_saves_and_loads() -> None:
    source, target = make_quantizer("post", "weights", 4, channels=5), make_quantizer("post", "weights", 4, channels=5)
    source.initialize(torch.randn(5, 7, generator=torch.Generator().manual_seed(3)))
    assert list(source.state_dict()) == ["step"]
    target.load_state_dict(source.state_dict())
    assert torch.equal(source.scale, target.scale)


def test_functions_work_under_torch_func() -> None:
    x, steps = torch.randn(3, 8, generator=torch.Generator().manual_seed(5)), torch.tensor([0.2, 0.3, 0.4])
    thresholds, levels = torch.tensor([-0.5, 0.5]), torch.tensor([-1.0, 0.0, 1.0])

    def integer(values: Tensor, step: Tensor) -> Tensor:
        return round_to_integer(values, step, -4.0, 3.0, 1.0).sum()

    def level(values: Tensor, step: Tensor) -> Tensor:
        return round_to_level(values, step, thresholds, levels, (-1.0, 1.0), 1.0).sum()

    for function in (integer, level):
        together = torch.func.vmap(torch.func.grad(function, argnums=(0, 1)))(x, steps)
        one_by_one = [torch.func.grad(function, argnums=(0, 1))(x[i], steps[i]) for i in range(3)]
        for index in range(2):
            torch.testing.assert_close(together[index], torch.stack([pair[index] for pair in one_by_one]))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # the compiler's own doing
@pytest.mark.parametrize(("name", "bits"), [("pot", 2), ("post", 4), ("post", 8)])
def test_compiled_levels_are_those_of_the_search(name: str, bits: int) -> None:
    quantizer = make_step_quantizer(name, "weights", bits, **options_for(name, bits))
    ratios = ratios_around_thresholds(quantizer)
    compiled = torch.compile(nearest_level, fullgraph=True, backend="eager")
    tables = quantizer.threshold_table, quantizer.level_table
    assert torch.equal(compiled(ratios, *tables), nearest_level(ratios, *tables))


@pytest.mark.parametrize("name", ["lsq", "post"])
@pytest.mark.parametrize("channels", [None, 4])
def test_gradients_do_not_depend_on_the_memory_format(name: str, channels: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(4, 3, 5, 7, generator=generator) for _ in range(2))
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        quantizer = make_step_quantizer(name, "weights", 4, channels=channels)
        quantizer.initialize(x)
        inputs = x.clone(memory_format=memory_format).requires_grad_()
        quantizer(inputs).backward(grad)
        assert inputs.grad is not None
        results.append((inputs.grad, quantizer.step.grad))
    torch.testing.assert_close(results[0], results[1])


def test_bad_requests_name_rule_and_value() -> None:
    with pytest.raises(ValueError, match="unknown method for weights 'unifrom'; did you mean 'uniform'"):
        find_method("unifrom", "weights")
    with pytest.raises(ValueError, match="post does not quantize activations; these methods do: lsq"):
        find_method("post", "activations")
    with pytest.raises(ValueError, match=r"bits must be in 2\.\.8 for lsq, got 9"):
        make_quantizer("lsq", "weights", 9)
    with pytest.raises(ValueError, match=r"bits must be in 2\.\.8 for post, got 1"):
        make_quantizer("post", "weights", 1)
    with pytest.raises(ValueError, match="lsq has no option 'exponents'; it has none"):
        make_quantizer("lsq", "weights", 4, exponents=3)
    with pytest.raises(ValueError, match="exponents=62 fit"):
        make_quantizer("pot", "weights", 8)
    with pytest.raises(ValueError, match="levels are signed"):
        make_quantizer("pot", "weights", 4, signed=False)


def test_every_method_is_complete() -> None:
    for name, method in QUANTIZERS.items():
        assert set(method.roles) <= set(ROLES), name
        assert method.roles, name
        assert find_method("uniform", method.roles[0]) is QUANTIZERS["lsq"]


@pytest.mark.parametrize(("name", "ends"), [("lsq", (-8.0, 7.0)), ("post", (-1.0, 1.0))])
def test_ends_of_the_range_pass_the_gradient_and_the_next_float_does_not(name: str, ends: tuple[float, float]) -> None:
    quantizer = make_step_quantizer(name, "weights", 4)
    infinity = torch.tensor([-math.inf, math.inf])
    far = torch.tensor([-1e37, 1e37])
    x = torch.cat([torch.tensor(ends), torch.nextafter(torch.tensor(ends), infinity), far]).requires_grad_()
    quantizer(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1, 0, 0, 0, 0]
    assert quantizer.step.grad is not None
    assert float(quantizer.step.grad) == pytest.approx(2 * sum(ends) / math.sqrt(6 * ends[1]))
