"""What export promises, checked on data: the integers are the ones that were trained.

1. Every quantizer keeps its law, q(x) == decode(codes(x)) * scale, bit for bit.
2. The integer network predicts what the fake-quantized model predicts: top-1 agreement and both accuracies.
3. Per layer: the share of activation codes that differ between the two, and the overflows that occurred.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.engines import Simulation, simulate
from hwsim.network import Network
from hwsim.nodes import Matmul
from trainers.evaluate import evaluating
from trainers.layers import QuantLayer, quant_layers
from trainers.quantizers import Quantizer

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class LayerCheck:
    """Promises 1 and 3 for one layer; the counts are over all images."""

    layer: str
    law_holds: bool  #: Weights and activations: what was trained equals what the codes decode to.
    codes: int  #: How many activation codes were compared.
    codes_differing: int  #: How many of them differ.
    accumulator_bits: int
    required_bits: int  #: The narrowest accumulator that is always enough for these weights.
    accumulator_overflows: int
    datapath_overflows: int
    path: str  #: How the engine computed the layer.


@dataclass(frozen=True)
class ExportCheck:
    """The promises, measured on a labelled set of images."""

    images: int
    qat_correct: int
    integer_correct: int
    agreeing: int  #: Images on which both networks predict the same class.
    layers: tuple[LayerCheck, ...]

    @property
    def laws_hold(self) -> bool:
        """Whether promise 1 holds for every layer."""
        return all(layer.law_holds for layer in self.layers)

    @property
    def overflows(self) -> int:
        """Overflows of all accumulators and of the datapath."""
        return sum(layer.accumulator_overflows + layer.datapath_overflows for layer in self.layers)


def check_export(
    model: nn.Module,
    network: Network,
    images: Tensor,
    labels: Tensor,
    *,
    engine: str = "tensor",
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> ExportCheck:
    """Run the fake-quantized model and its integer network on the same images, shape (N, C, H, W), and compare.

    Raises:
        ValueError: there are no images, or they do not fit the network.
    """

    def tell(done: int) -> None:
        if progress:
            progress(done, len(images))

    batches = zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True)
    return check_batches(model, network, batches, engine, tell)


def check_batches(
    model: nn.Module,
    network: Network,
    batches: Iterable[tuple[Tensor, Tensor]],
    engine: str = "tensor",
    progress: Callable[[int], None] | None = None,
) -> ExportCheck:
    """Do what `check_export` does with images and labels that come batch by batch.

    Raises:
        ValueError: there are no images, or they do not fit the network.
    """
    total = ExportCheck(0, 0, 0, 0, tuple(_fresh(layer) for layer in network.layers))
    with torch.no_grad(), evaluating(model):
        for images, labels in batches:
            if len(images):
                total = _added(total, _check_batch(model, network, images, labels.numpy(), engine))
            if progress:
                progress(total.images)
    if not total.images:
        raise ValueError("the export is checked on images, got none")
    return total


def _check_batch(model: nn.Module, network: Network, images: Tensor, truth: Codes, engine: str) -> ExportCheck:
    layers = quant_layers(model)
    with recorded_inputs(layers) as inputs:
        expected = model(images).argmax(dim=1).numpy()
    codes = [node.inputs[0] for node in network.layers]
    simulation = simulate(network, images.numpy(), engine, trace=codes, batch_size=len(images))
    checks = [_check_layer(node, layers[node.name], inputs[node.name], simulation) for node in network.layers]
    return ExportCheck(
        images=len(images),
        qat_correct=int((expected == truth).sum()),
        integer_correct=int((simulation.predictions == truth).sum()),
        agreeing=int((expected == simulation.predictions).sum()),
        layers=tuple(checks),
    )


def _check_layer(node: Matmul, layer: QuantLayer, x: Tensor, simulation: Simulation) -> LayerCheck:
    assert simulation.trace is not None
    trained = layer.activation_quantizer.codes(x).numpy()
    computed = simulation.trace[node.inputs[0]]
    return replace(
        _fresh(node),
        law_holds=law_holds(layer.activation_quantizer, x) and law_holds(layer.weight_quantizer, layer.weight),
        codes=trained.size,
        codes_differing=int(np.count_nonzero(trained != computed)),
        accumulator_overflows=simulation.overflows.get(node.name, 0),
        datapath_overflows=simulation.overflows.get(f"{node.name}.rescale", 0),
        path=simulation.paths[node.name],
    )


def law_holds(quantizer: Quantizer, x: Tensor) -> bool:
    """Return whether q(x) == decode(codes(x)) * scale_for(x), bit for bit in float32."""
    decoded = quantizer.format.decode(quantizer.codes(x).numpy()).astype(np.float32)
    return bool(torch.equal(quantizer(x), torch.from_numpy(decoded) * quantizer.scale_for(x)))


@contextmanager
def recorded_inputs(layers: dict[str, QuantLayer]) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that fills with each layer's input while the model runs."""
    inputs: dict[str, Tensor] = {}

    def record(module: nn.Module, args: tuple[Tensor], name: str) -> None:
        inputs[name] = args[0]

    handles = [layer.register_forward_pre_hook(partial(record, name=name)) for name, layer in layers.items()]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


def _fresh(node: Matmul) -> LayerCheck:
    return LayerCheck(node.name, True, 0, 0, node.accumulator.bits, node.required_bits, 0, 0, "")


def _added(total: ExportCheck, batch: ExportCheck) -> ExportCheck:
    return ExportCheck(
        total.images + batch.images,
        total.qat_correct + batch.qat_correct,
        total.integer_correct + batch.integer_correct,
        total.agreeing + batch.agreeing,
        tuple(_added_layer(one, other) for one, other in zip(total.layers, batch.layers, strict=True)),
    )


def _added_layer(total: LayerCheck, batch: LayerCheck) -> LayerCheck:
    return replace(
        batch,
        law_holds=total.law_holds and batch.law_holds,
        codes=total.codes + batch.codes,
        codes_differing=total.codes_differing + batch.codes_differing,
        accumulator_overflows=total.accumulator_overflows + batch.accumulator_overflows,
        datapath_overflows=total.datapath_overflows + batch.datapath_overflows,
    )
