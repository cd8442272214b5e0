"""`hwsim accelerator NETWORK_FILE --arithmetic gates --real-operands`: each layer's switching on its own codes."""

from pathlib import Path

import numpy as np
import pytest
from command import error, rows
from needs import needs_yosys
from random_networks import random_images, random_network

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.cost.gates import find_gates
from hwsim.cost.technology import MissingConstantError
from hwsim.formats import Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Network
from hwsim.network_file import save_network
from hwsim.nodes import Conv, Input, Quantize, Rescale
from hwsim.synthesis import network_energies as module
from hwsim.synthesis.circuits import Circuit
from hwsim.synthesis.layer_operands import Streams, layer_operands, network_operands
from hwsim.synthesis.network_energies import network_energies


def one_layer(activation_bits: int = 2) -> Network:
    """Return a 3 x 3 convolution of one channel of 4 x 4 pixels: 4 outputs of 9 products."""
    codes = Uniform(activation_bits, signed=False)
    conv = Conv(
        "conv",
        ("codes",),
        weight=np.arange(9).reshape(1, 1, 3, 3) % 4,
        multiplier=multiplier_for(Uniform(2), codes),
        accumulator=Accumulator(8),
    )
    one = Requantizer(np.array(1), np.array(0))
    nodes = (
        Input("image", (), (1, 4, 4)),
        Quantize("codes", ("image",), format=codes, requantizer=one),
        conv,
        Rescale("rescale", ("conv",), requantizer=one, bias=np.zeros(1, dtype=np.int64)),
    )
    return Network(nodes)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return a network's file and its images', with elements that spend 10 fJ per one of the weights' codes."""

    def energy(circuit: Circuit, streams: Streams) -> dict[str, float]:
        assert circuit == Circuit("uniform", 2, 2, "pe")
        assert streams.clear[:10, 0].tolist() == [1] + [0] * 8 + [1]
        return {"energy": 10 * float(streams.w[:9].mean()), "clock_energy": 0.0}

    monkeypatch.setattr(module, "mapped_energy", energy)
    save_network(one_layer(), tmp_path / "network.safetensors")
    np.save(tmp_path / "images.npy", np.zeros((2, 1, 4, 4)))
    return tmp_path / "network.safetensors", tmp_path / "images.npy"


def test_the_energy_is_that_of_the_layers_own_codes(files: tuple[Path, Path]) -> None:
    network, images = files
    options = ("accelerator", network, "--arithmetic", "gates", "--array", "2x2")
    [own] = [row for row in rows(*options, "--real-operands", "--images", images) if row["quantity"] == "energy"]
    [independent] = [row for row in rows(*options) if row["quantity"] == "energy"]
    of_table = find_gates(Circuit("uniform", 2, 2).multiplier, "pe").measures["energy"]
    mean = 10 * (0 + 1 + 2 + 3 + 0 + 1 + 2 + 3 + 0) / 9
    assert own["value"] - independent["value"] == pytest.approx(36 * (mean - of_table) / 1000)
    assert "energy per cycle on the layer's own operands" in str(own["source"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--real-operands"], "--real-operands belongs to --arithmetic gates, got operations"),
        (["--arithmetic", "gates", "--images", "images.npy"], "--images belongs to --real-operands"),
        (["--real-operands", "--arithmetic", "gates"], "does not say which data it was made for"),
    ],
)
def test_what_is_refused(files: tuple[Path, Path], options: list[object], message: str) -> None:
    assert message in error("accelerator", files[0], *options)


def test_other_networks_have_no_operands() -> None:
    options = ("--arithmetic", "gates", "--real-operands")
    assert "those of a trained network's .safetensors file, got 'resnet18'" in error(
        "accelerator", "resnet18", *options
    )


def test_an_element_that_the_table_lacks_is_refused() -> None:
    with pytest.raises(MissingConstantError, match="no pe of the array multiplier"):
        network_energies(one_layer(activation_bits=3), np.zeros((1, 1, 4, 4)))


@pytest.mark.rtl
@pytest.mark.slow
@needs_yosys
def test_an_element_that_multiplies_by_zero_spends_little_but_its_clock() -> None:
    pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")
    names: list[str] = []
    found = network_energies(one_layer(), np.zeros((1, 1, 4, 4)), names.append)
    measures = find_gates(Circuit("uniform", 2, 2).multiplier, "pe").measures
    assert names == list(found) == ["conv"]
    assert measures["clock_energy"] < found["conv"] < measures["energy"]


@pytest.mark.parametrize("seed", range(3))
def test_every_layer_has_the_operands_that_it_has_alone(seed: int) -> None:
    network = random_network(seed, blocks=1)
    images = random_images(network, seed)
    found = list(network_operands(network, images, cycles=20, streams=3))
    assert [layer.name for layer, _ in found] == [layer.name for layer in network.layers]
    for layer, streams in found:
        for part, alone in zip(streams, layer_operands(network, layer.name, images, 20, 3), strict=True):
            np.testing.assert_array_equal(part, alone)
