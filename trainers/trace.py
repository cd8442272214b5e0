"""A torch module of any shape as a workload, traced on the meta device: no weights are allocated, nothing is computed.

The module runs once under a dispatch mode that sees every operator, so control flow, functions and modules count
alike. An operator that is not known becomes a layer of kind `unknown` that names it; parameters that no known operator
owns become `constant` layers. Nothing is dropped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from hwsim.workload import Layer, Workload, WorkloadError
from hwsim.workloads.shapes import Fields
from trainers.operators import FREE, OPERATORS, Call, Step, elementwise


def trace_workload(model: nn.Module, *inputs: Tensor, name: str | None = None) -> Workload:
    """Return the layers of a module for inputs of these shapes, in the order in which they run.

    inputs: tensors on any device (`torch.empty(1, 3, 224, 224, device="meta")`); only shapes and types matter. The
    module runs in evaluation mode and is left as it was. What depends on parameters alone (fake-quantized weights) is
    computed before inference and is no layer.

    Raises:
        WorkloadError: the module cannot run on the meta device (it reads values), or it has no operator at all.
    """
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    meta = {id(tensor): tensor.detach().to("meta") for _, tensor in tensors}
    recorder = Recorder(model, {id(meta[id(tensor)]): key for key, tensor in reversed(tensors)})
    moved = tuple(recorder.input(x.to("meta")) for x in inputs)
    try:
        with _evaluating(model), _scopes(recorder), torch.no_grad(), recorder:
            functional_call(model, {key: meta[id(tensor)] for key, tensor in tensors}, moved)
    except (RuntimeError, NotImplementedError) as error:
        raise WorkloadError(f"cannot trace {type(model).__name__} without data: {error}") from error
    constants = recorder.unclaimed(dict(model.named_parameters()))
    return Workload(name or type(model).__name__.lower(), (*constants, *recorder.layers))


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down each operator that runs as a layer, with what it reads.

    weights: name of each tensor that comes from parameters alone, by its identity; views and functions of such tensors
    join as they are made.
    """

    def __init__(self, model: nn.Module, weights: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self.scope: list[tuple[str, bool]] = [("", False)]  #: (module, whether it has no children), innermost last.
        self.module_names = {id(module): name for name, module in model.named_modules()}
        self.weights = dict(weights)
        self.claimed: set[str] = set()
        self.made_by: dict[int, str] = {}
        self.alive: list[Tensor] = []  #: Keeps identities unique.
        self.uses: dict[str, int] = {}

    def input(self, x: Tensor) -> Tensor:
        """Return x after noting that it is the network's input."""
        self.alive.append(x)
        self.made_by[id(x)] = "input"
        return x

    def unclaimed(self, parameters: dict[str, nn.Parameter]) -> list[Layer]:
        """Return a `constant` layer for each parameter that no layer owns."""
        rest = {name: p for name, p in parameters.items() if name not in self.claimed}
        return [Layer(name, "constant", C=p.numel(), has_weight=True, op="parameter") for name, p in rest.items()]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator and record it."""
        result = func(*args, **(kwargs or {}))
        results = [x for x in (result if isinstance(result, list | tuple) else [result]) if isinstance(x, Tensor)]
        if results:
            self.alive += results
            self._record(Call(func.name(), args, results[0], lambda x: id(x) in self.weights), results)
        return result

    def _record(self, call: Call, results: list[Tensor]) -> None:
        if not call.tensors:  # a fresh tensor is data, as an initial state is; a fresh number is neither
            self.made_by |= {id(x): "input" for x in results if x.dim()}
            return
        sources = [x for x in call.tensors if id(x) in self.weights or id(x) in self.made_by]
        if sources and all(id(x) in self.weights for x in sources):
            self.weights |= {id(x): self.weights[id(sources[0])] for x in results}
        elif call.op in FREE:
            self.made_by |= {id(x): self.made_by[id(source)] for source in self._read(sources) for x in results}
        else:
            key = self._layers(call, sources)
            self.made_by |= {id(x): key for x in results}

    def _read(self, sources: list[Tensor]) -> list[Tensor]:
        return [x for x in sources if id(x) in self.made_by][:1]

    def _layers(self, call: Call, sources: list[Tensor]) -> str:
        inputs = tuple(dict.fromkeys(self.made_by[id(x)] for x in sources if id(x) in self.made_by))
        for kind, fields in _steps(call):
            owned = {self.weights[id(x)] for x in sources if id(x) in self.weights} if _owns(fields) else set()
            shared = bool(owned) and owned <= self.claimed
            self.claimed |= owned
            sizes = {"kind": kind, **fields, "shared": shared, "inputs": inputs, "op": _short(call.op)}
            self.layers.append(Layer(self._name(call.op), **sizes))
            inputs = (self.layers[-1].key,)
        return inputs[0]

    def _name(self, op: str) -> str:
        module, is_leaf = self.scope[-1]
        name = module if is_leaf and module else ".".join(filter(None, (module, _short(op))))
        self.uses[name] = self.uses.get(name, 0) + 1
        return name if self.uses[name] == 1 else f"{name}_{self.uses[name]}"


def _steps(call: Call) -> Iterator[tuple[str, Fields]]:
    """Yield kind and fields of each layer that the operator is; one `unknown` layer if none can be made of it."""
    steps: tuple[Step, ...] = OPERATORS.get(call.op, (("unknown", elementwise),))
    for kind, handler in steps:
        yield kind, handler(call)


def _owns(fields: Fields) -> bool:
    return bool(fields.get("has_weight") or fields.get("has_bias"))


def _short(op: str) -> str:
    """Return `add` of `aten::add_.Tensor`."""
    return op.rpartition("::")[2].partition(".")[0].strip("_")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _scopes(recorder: Recorder) -> Iterator[None]:
    """Keep track of the module that is running."""

    def enter(module: nn.Module, args: Any) -> None:
        name = recorder.module_names.get(id(module), type(module).__name__)
        recorder.scope.append((name, not any(True for _ in module.children())))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        recorder.scope.pop()

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
