"""`--real-operands`: the switching of synthesised elements on a trained network's own codes."""

from pathlib import Path

from hwsim.cli.images import load_images
from hwsim.cli.progress import progress


def own_energies(source: str, arithmetic: str, images: Path | None) -> dict[str, float]:
    """Return the energy in fJ of a product on each layer's own operands, by the layer's name.

    images: a .npy file; None: the test images that the network was made for.

    Raises:
        ValueError: no trained network on gates, images that do not fit it, or an element that the shipped table lacks.
        OSError: a file cannot be read.
        YosysError, ModuleNotFoundError: there is no Yosys or no Amaranth.
    """
    if arithmetic != "gates":
        raise ValueError(f"--real-operands belongs to --arithmetic gates, got {arithmetic}")
    if not source.endswith(".safetensors"):
        raise ValueError(f"--real-operands are those of a trained network's .safetensors file, got {source!r}")
    from hwsim.network_file import load_network
    from hwsim.synthesis.layer_operands import IMAGES
    from hwsim.synthesis.network_energies import network_energies

    network = load_network(Path(source))
    pixels = load_images(network, None, None, images, None).pixels[:IMAGES]
    names: list[str] = []
    with progress("switching", len(network.layers), "layers") as advance:

        def report(name: str) -> None:
            names.append(name)
            advance(len(names), name)

        return network_energies(network, pixels, report)
