"""Torch modules as workloads: known operators, unknown ones, and nothing dropped."""

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from hwsim.workload import Workload, WorkloadError
from trainers.trace import trace_workload


def trace(model: nn.Module, *shape: int) -> Workload:
    return trace_workload(model, torch.empty(*shape))


def kinds(workload: Workload) -> dict[str, int]:
    return dict(Counter(layer.kind for layer in workload))


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_an_encoder_layer_of_a_transformer() -> None:
    """Derivation: T tokens, D = 32: q, k, v, out are 4 T D^2, the feed-forward net 2 T D 64, attention 2 T^2 D."""
    model = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    workload = trace(model, 1, 7, 32)
    assert workload.macs == 4 * 7 * 32 * 32 + 2 * 7 * 32 * 64 + 2 * 7 * 7 * 32
    assert workload.parameters == size(model)
    assert kinds(workload) == {"linear": 4, "matmul": 2, "multiply": 2, "softmax": 1, "add": 2, "norm": 2, "relu": 1}


def test_a_transposed_convolution() -> None:
    model = nn.ConvTranspose2d(3, 4, 3, 2, padding=1, output_padding=1)
    workload = trace(model, 1, 3, 5, 5)
    assert (workload.macs, workload.parameters) == (3 * 25 * 4 * 9, size(model))
    assert (workload.layers[0].OY, workload.layers[0].kind) == (10, "conv_transpose")


def test_grouped_dilated_and_one_dimensional_convolutions() -> None:
    grouped = trace(nn.Conv2d(8, 4, 3, dilation=2, groups=4), 1, 8, 9, 9)
    assert grouped.macs == 4 * 2 * 9 * 25
    line = trace(nn.Conv1d(3, 5, 4, stride=2, padding=1), 1, 3, 16)
    assert (line.macs, line.layers[0].FY, line.layers[0].FX) == (5 * 3 * 4 * 8, 1, 4)


def test_embeddings_have_parameters_and_no_products() -> None:
    workload = trace_workload(nn.Embedding(100, 16), torch.zeros(1, 7, dtype=torch.long))
    assert (workload.parameters, workload.macs, kinds(workload)) == (1600, 0, {"embedding": 1})


def test_tied_weights_are_counted_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(100, 16)
            self.head = nn.Linear(16, 100, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.head(self.embedding(x))
            return result

    workload = trace_workload(Tied(), torch.zeros(1, 7, dtype=torch.long))
    assert (workload.parameters, workload.macs) == (1600, 7 * 1600)
    assert workload.layer("head").shared


def test_a_module_that_runs_twice_is_two_layers() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.fc(self.fc(x))
            return result

    workload = trace(Twice(), 1, 8)
    assert [(layer.key, layer.macs, layer.parameters) for layer in workload] == [("fc", 64, 72), ("fc_2", 64, 0)]


def test_an_unknown_operator_is_listed() -> None:
    class Sorting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumsum(x, 1) * 2

    workload = trace(Sorting(), 1, 8)
    assert [(layer.kind, layer.op) for layer in workload] == [("unknown", "cumsum"), ("multiply", "mul")]


def test_parameters_that_no_known_operator_owns_are_kept() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = nn.Parameter(torch.zeros(5, 8))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.position

    workload = trace(Positions(), 1, 5, 8)
    assert (workload.parameters, kinds(workload)) == (40, {"constant": 1, "add": 1})


def test_what_depends_on_parameters_alone_is_no_layer() -> None:
    class Rounded(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return nn.functional.linear(input, torch.round(self.weight * 4) / 4, self.bias)

    workload = trace(Rounded(8, 3), 1, 8)
    assert [(layer.kind, layer.parameters) for layer in workload] == [("linear", 27)]


def test_every_parameter_of_a_recurrent_network_is_counted() -> None:
    model = nn.LSTM(8, 16)
    assert trace(model, 5, 1, 8).parameters == size(model)


def test_a_branch_on_shapes_is_followed() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.a(x) if x.shape[2] > 4 else self.b(x)
            return result

    assert trace(Branch(), 1, 1, 8, 8).macs == 128
    assert trace(Branch(), 1, 1, 2, 2).macs == 16


def test_a_branch_on_values_is_refused() -> None:
    class Values(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum().item() > 0 else -x

    with pytest.raises(WorkloadError, match="cannot trace Values without data"):
        trace(Values(), 1, 8)


def test_the_module_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trace(model, 1, 1, 8, 8)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_residual_connections_are_known() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu_(self.conv(x)) + x

    workload = trace(Residual(), 1, 2, 4, 4)
    assert [(layer.key, layer.inputs) for layer in workload] == [
        ("conv", ("input",)),
        ("relu", ("conv",)),
        ("add", ("relu", "input")),
    ]


@pytest.mark.parametrize(
    ("module", "macs"),
    [
        (nn.LSTM(4, 8), 5 * 4 * 8 * (4 + 8)),
        (nn.RNN(4, 8), 5 * 8 * (4 + 8)),
        (nn.GRU(4, 8), 5 * 3 * 8 * (4 + 8)),
    ],
)
def test_an_initial_state_is_data(module: nn.Module, macs: int) -> None:
    workload = trace_workload(module, torch.empty(5, 1, 4, device="meta"))
    assert workload.macs == macs
    assert any(layer.kind == "nonlinear" for layer in workload)
    assert not any(layer.kind in ("constant", "unknown") for layer in workload)


class WritesIntoZeros(nn.Module):
    """Puts its input into a fresh tensor before the linear layer reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the linear layer makes of the widened input."""
        wide = torch.zeros(1, 8, device=x.device)
        wide[:, :4] = x
        out: torch.Tensor = self.linear(wide)
        return out


def test_a_fresh_tensor_that_is_written_is_data() -> None:
    assert trace_workload(WritesIntoZeros(), torch.empty(1, 4, device="meta")).macs == 64
