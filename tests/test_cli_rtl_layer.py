"""`hwsim rtl verify NETWORK_FILE --layer NAME`, and arrays as Verilog."""

from pathlib import Path

import numpy as np
import pytest
from command import error, rows, run
from needs import needs_yosys
from random_networks import random_images, random_network

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import IntArray, Requantizer, bits_for
from hwsim.cli.rtl_layer import check_rows
from hwsim.formats import Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Network
from hwsim.network_file import load_network, save_network
from hwsim.nodes import Adapter, Conv, Input, Matmul, Quantize, Rescale

pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")

from hwsim.rtl.layer_operands import Operands, layer_operands
from hwsim.rtl.verify_layer import verify_layer

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
        (["--rows", 4, "--columns", 3, "--dataflow", "ws", "--count", 2, "--positions", 9], 9, 3 * (9 + 9) - 1),
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
        (["--layer", "conv", "--bits", 3], "the network's layer decides --bits: leave it out"),
        (["--layer", "conv", "--fraction-bits", 0], "the network's layer decides --fraction-bits: leave it out"),
        (["--layer", "conv", "--signed-activations"], "the network's layer decides --signed-activations: leave it"),
    ],
)
def test_what_is_refused(network_file: Path, options: list[object], message: str) -> None:
    assert message in error("rtl", "verify", network_file, *options)


@pytest.fixture(scope="module")
def adaptive_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network whose layer conv7 divides by a beta of adapter5; no layer before it has one."""
    path = tmp_path_factory.mktemp("adaptive") / "network.safetensors"
    save_network(random_network(0, 2), path)
    return path


@needs_yosys
def test_the_adapter_of_a_layer_is_written(adaptive_file: Path) -> None:
    header, body = run("rtl", "emit", adaptive_file, "--layer", "conv7", "--unit", "adapter").stdout.split("\n\n", 1)
    network = load_network(adaptive_file)
    node = network.node("adapter5")
    assert isinstance(node, Adapter)
    largest = -network.datapath.range[0] * int(np.prod(network.shapes[node.inputs[0]][1:]))
    lines = header.splitlines()
    assert lines[0] == "// conv7_adapter, made by hwsim 0.1.0"
    assert lines[1].startswith(f"// Adapter of ASQ: beta, 1 .. {2**node.bits - 1} in units of 2^-2")
    assert (
        lines[2] == f"// sum: {bits_for(-largest, largest)} bits in two's complement, one channel per cycle while ready"
    )
    assert body.startswith("module conv7_adapter(")


@needs_yosys
def test_the_elements_of_a_layer_have_its_formats_and_its_accumulator(network_file: Path) -> None:
    text = run("rtl", "emit", network_file, "--layer", "conv", "--unit", "pe").stdout
    assert "// sum: 8 bits in two's complement, overflow: wraps, but is not meant to happen" in text
    assert "// w: code of Uniform(bits=3" in text
    assert "\nmodule conv_pe(" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "is a network: name the layer whose circuits to write by --layer"),
        (["--layer", "cnv"], "unknown layer 'cnv'; did you mean 'conv'?"),
        (["--layer", "conv", "--bits", 3], "the network's layer decides --bits: leave it out"),
        (["--layer", "conv", "--frac-bits", 3], "the network's layer decides --frac-bits: leave it out"),
        (
            ["--layer", "conv", "--unit", "adapter"],
            "an adapter holds a trained network's constants: name the network's",
        ),
    ],
)
def test_what_cannot_be_written_of_a_network_is_refused(
    network_file: Path, options: list[object], message: str
) -> None:
    assert message in error("rtl", "emit", network_file, *options)


@pytest.mark.parametrize("command", ["emit", "verify"])
def test_a_layer_without_a_network_is_refused(command: str) -> None:
    assert "--layer is for a network's .safetensors file, got 'post'" in error(
        "rtl", command, "post", "--layer", "conv"
    )


def test_the_beta_of_a_layer_is_verified(adaptive_file: Path) -> None:
    pixels = random_images(load_network(adaptive_file), 0, 2)
    check = verify_layer(load_network(adaptive_file), "conv7", pixels, 1)
    (row,) = [row for row in check_rows(check) if row["check"] == "beta"]
    assert row == {"check": "beta", "node": "adapter5", "values": 2, "different": 0, "first": ""}


def test_images_come_from_a_file_too(network_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).normal(size=(3, 1, 8, 8)))
    options = ["--layer", "conv", "--images", tmp_path / "images.npy", "--count", 2]
    assert [row["different"] for row in rows("rtl", "verify", network_file, *options)] == [0, 0, 0]
    np.save(tmp_path / "wrong.npy", np.zeros((3, 8, 8)))
    assert "(3, 8, 8)" in error("rtl", "verify", network_file, "--layer", "conv", "--images", tmp_path / "wrong.npy")
