"""`hwsim rtl verify NETWORK_FILE --layer NAME`, and arrays as Verilog."""

from pathlib import Path

import numpy as np
import pytest
from command import error, rows, run

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import IntArray, Requantizer
from hwsim.formats import Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Network
from hwsim.network_file import save_network
from hwsim.nodes import Conv, Input, Matmul, Quantize, Rescale

pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")

from hwsim.rtl.layer_operands import Operands, layer_operands

pytestmark = pytest.mark.rtl


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for the digits: a 3 x 3 convolution with 3 channels, M = 36, K = 9, N = 3."""
    codes = Uniform(2, signed=False)
    conv = Conv(
        "conv",
        ("codes",),
        weight=np.random.default_rng(0).integers(0, 8, (3, 1, 3, 3)),
        multiplier=multiplier_for(Uniform(3), codes),
        accumulator=Accumulator(8),
    )
    one = Requantizer(np.array(1), np.array(0))
    nodes = (
        Input("image", (), (1, 8, 8)),
        Quantize("codes", ("image",), format=codes, requantizer=Requantizer(np.array(1), np.array(20))),
        conv,
        Rescale("rescale", ("conv",), requantizer=one, bias=np.arange(3)),
    )
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    save_network(Network(nodes, metadata={"data": "digits"}), path)
    return path


@pytest.mark.parametrize(
    ("options", "outputs", "cycles"),
    [
        (["--rows", 3, "--columns", 2], 36, 12 * 2 * (9 + 3) - 1),
        (["--rows", 4, "--columns", 3, "--dataflow", "ws", "--images", 2, "--positions", 9], 9, 3 * (9 + 9) - 1),
    ],
)
def test_a_layer_is_verified(network_file: Path, options: list[object], outputs: int, cycles: int) -> None:
    got = rows("rtl", "verify", network_file, "--layer", "conv", *options)
    assert got == [
        {"check": "sums", "node": "conv", "values": outputs * 3, "different": 0, "first": ""},
        {"check": "rescaled", "node": "rescale", "values": outputs * 3, "different": 0, "first": ""},
        {"check": "cycles", "node": "conv", "values": cycles, "different": 0, "first": ""},
    ]


def test_a_difference_is_told_and_exits_with_1(network_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(layer: Matmul, codes: IntArray) -> list[Operands]:
        (only,) = layer_operands(layer, codes)
        return [Operands(only.activation ^ 1, only.weight)]

    monkeypatch.setattr("hwsim.rtl.verify_layer.layer_operands", wrong)
    result = run("rtl", "verify", network_file, "--layer", "conv", "--positions", 2)
    assert result.exit_code == 1
    assert "layer 'conv' (array) on the array differs from the simulator" in result.stderr
    assert "position 0, channel 0: " in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "is a network: name the layer to verify by --layer"),
        (["--layer", "cnv"], "unknown layer 'cnv'; did you mean 'conv'?"),
        (["--layer", "codes"], "layer 'codes' is of kind Quantize, without products (with: conv)"),
        (["--layer", "conv", "--dataflow", "is"], "layer 'conv', multiplier array: unknown dataflow"),
        (["--layer", "conv", "--positions", 37], "positions of layer 'conv' must be an integer in 1..36, got 37"),
        (["--layer", "conv", "--simulator", "vcs"], "unknown simulator 'vcs'"),
    ],
)
def test_what_is_refused(network_file: Path, options: list[object], message: str) -> None:
    assert message in error("rtl", "verify", network_file, *options)
