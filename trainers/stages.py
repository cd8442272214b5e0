"""A network cut into stages that only one tensor connects.

A stage is named after the module that it ends with. What comes before the first such module belongs to the first stage;
what follows the last, such as pooling and the classifier, belongs to the last. On request what runs before the first
named module is a stage of its own, the stem.
"""

from collections.abc import Sequence

from torch import Tensor, fx, nn

from hwsim.errors import unknown_name
from trainers.graph import WEIGHTED, trace


def stage_names(model: nn.Module, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of a network's stages: those given, or its own, which it declares as `stages`.

    Raises:
        ValueError: none are given and the network declares none, or there are fewer than two.
    """
    chosen = tuple(names or getattr(model, "stages", ()))
    if not chosen:
        raise ValueError(f"{type(model).__name__} declares no stages; name the modules that its stages end with")
    if len(chosen) < 2:
        raise ValueError(f"a network is cut into at least two stages, got {', '.join(chosen)}")
    return chosen


class Stage(nn.Module):
    """A stage whose steps depend on `self.training` of the network, as functional dropout does: it follows its mode."""

    def __init__(self, model: nn.Module, training: nn.Module, evaluation: nn.Module) -> None:
        super().__init__()
        self.model = (model,)  # in a tuple it is no submodule
        self.modes = nn.ModuleList([evaluation, training])

    def forward(self, x: Tensor) -> Tensor:
        """Return what the stage makes of the tensor that enters it."""
        result: Tensor = self.modes[self.model[0].training](x)
        return result


def stem_layers(model: nn.Module, name: str) -> list[str]:
    """Return the convolutions and linear layers that run before a module; none where it holds no such layer itself.

    A module without one, such as a pooling, only marks where a stage ends: what runs before it is that stage.

    Raises:
        ValueError: the network cannot be traced, or the name is not that of a module that runs.
    """
    nodes = list(trace(model).nodes)
    start = _places(nodes, name)[0]
    if not any(isinstance(module, WEIGHTED) for module in model.get_submodule(name).modules()):
        return []
    calls = [str(node.target) for node in nodes[:start] if node.op == "call_module"]
    return [call for call in calls if isinstance(model.get_submodule(call), WEIGHTED)]


def cut(model: nn.Module, names: Sequence[str], stem: str = "") -> list[nn.Module]:
    """Return the network's stages in order, each a function of the one before; they share the network's modules.

    Args:
        model: the network.
        names: modules that its stages end with.
        stem: what to call a stage more, the first: what runs before the module of the first name; empty: no such stage.

    Raises:
        ValueError: the network cannot be traced or returns more than a tensor, a name is not that of a module that
            runs, the names are not in the order in which they run, or more than one tensor crosses a cut, as where it
            runs through a residual connection.
    """
    training, evaluation = (_cut(model, list(trace(model, mode).nodes), names, stem) for mode in (True, False))
    return [
        one if one.code == other.code else Stage(model, one, other)
        for one, other in zip(training, evaluation, strict=True)
    ]


def _cut(model: nn.Module, nodes: Sequence[fx.Node], names: Sequence[str], stem: str) -> list[fx.GraphModule]:
    """Return the stages of a graph."""
    ends = [_places(nodes, name)[-1] for name in names]
    if stem:
        ends, names = [_places(nodes, names[0])[0] - 1, *ends], [stem, *names]
    for i in range(1, len(ends)):
        if ends[i] <= ends[i - 1]:
            raise ValueError(f"stages must end in the order in which they run, but {names[i]!r} does not end after "
                             f"{names[i - 1]!r}")  # fmt: skip
    first, last = 0, len(nodes) - 1
    bounds = [first, *ends[:-1], last - 1]
    crossing = [nodes[0], *(_crossing(nodes, end, name) for end, name in zip(ends[:-1], names, strict=False))]
    result = nodes[last].args[0]
    if not isinstance(result, fx.Node):
        raise ValueError(f"a network that is cut must return one tensor, got {result}")
    exits = [*crossing[1:], result]
    return [
        _stage(model, nodes[start + 1 : end + 1], entry, leaving)
        for start, end, entry, leaving in zip(bounds, bounds[1:], crossing, exits, strict=False)
    ]


def _modules(node: fx.Node) -> list[str]:
    """Return the names of the modules that a step runs in, outermost first."""
    return [name for name, _ in node.meta.get("nn_module_stack", {}).values()]


def _places(nodes: Sequence[fx.Node], name: str) -> list[int]:
    """Return the places of a module's steps."""
    places = [place for place, node in enumerate(nodes) if name in _modules(node)]
    if not places:
        raise unknown_name("stage", name, dict.fromkeys(module for node in nodes for module in _modules(node)))
    return places


def _crossing(nodes: Sequence[fx.Node], end: int, name: str) -> fx.Node:
    """Return the only step whose result is read on both sides of a cut."""
    later = set(nodes[end + 1 :])
    readers = {node: [reader for reader in node.users if reader in later] for node in nodes[: end + 1]}
    crossing = {node: found for node, found in readers.items() if found}
    if len(crossing) != 1:
        tensors = "; ".join(
            f"the output of {_place(node)}, read by {', '.join(map(_place, found))}" for node, found in crossing.items()
        )
        raise ValueError(
            f"cannot cut after {name!r}: {len(crossing)} tensors cross there, only one may, so a cut must not run "
            f"through a residual connection ({tensors})"
        )
    return next(iter(crossing))


def _place(node: fx.Node) -> str:
    """Return where in the network a step is, for a message."""
    if node.op == "call_module":
        return str(node.target)
    modules = _modules(node)
    return f"{node.name} in {modules[-1]}" if modules else str(node.name)


def _stage(model: nn.Module, nodes: Sequence[fx.Node], entry: fx.Node, leaving: fx.Node) -> fx.GraphModule:
    """Return the steps as a module that takes what `entry` returns and returns what `leaving` returns."""
    graph = fx.Graph()
    values = {entry: graph.placeholder("x")}
    for node in nodes:
        values[node] = graph.node_copy(node, values.__getitem__)
    graph.output(values[leaving])
    return fx.GraphModule(model, graph)
