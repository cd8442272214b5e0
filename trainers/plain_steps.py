"""Steps of a traced network, rewritten so that each says by itself what it computes.

A step that changes its input in place becomes one that returns a new tensor, which every later step reads; a view of a
batch as vectors becomes `flatten`; optional arguments, which keep their defaults, go. So a graph is a function of its
one input, and what computes only sizes is gone.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn

from trainers.functional_glue import CALLS, Squeeze, arguments, as_module

#: Steps that write to their first argument, and those that return the same.
IN_PLACE: Mapping[Any, Any] = {
    operator.iadd: operator.add,
    torch.relu_: torch.relu,
    "add_": "add",
    "relu_": "relu",
}

#: Modules whose result may share memory with their input.
VIEWS = (nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Identity, Squeeze)

RESHAPES = ("view", "reshape", torch.reshape)


def drop_options(graph: fx.Graph) -> None:
    """Erase the inputs after the first, traced with their defaults, and torch's assertions that they have them."""
    unwanted = set([node for node in graph.nodes if node.op == "placeholder"][1:])
    for node in graph.nodes:
        if unwanted.intersection(node.all_input_nodes):
            unwanted.add(node)
    _erase(graph, unwanted.__contains__)


def flatten_views(graph: fx.Graph) -> None:
    """Rewrite `x.view(x.size(0), -1)`, however it is spelt, as `x.flatten(1)`."""
    for node in graph.nodes:
        if node.target in RESHAPES and not node.kwargs and _is_batch_of_vectors(node.args[1:]):
            node.op, node.target, node.args = "call_method", "flatten", (node.args[0], 1)
    _erase(graph, lambda node: _is_size(node) and not node.users)


def leave_inputs(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> None:
    """Let no step change its input: who reads the input later reads the step's result.

    Raises:
        ValueError: what is read later is another view of the input, which would change too.
    """
    for node in graph.nodes:
        if not _is_in_place(node, modules):
            continue
        changed = node.all_input_nodes[0]
        earlier, later = _split(graph, node)
        changed.replace_all_uses_with(node, lambda reader, later=later: reader in later)
        for view in earlier:
            if later.intersection(view.users) and _memory(view, modules) is _memory(changed, modules):
                raise ValueError(f"the step {node.name!r} changes its input in place, and so {view.name!r}, "
                                 "a view of it that is read later; let the step return a new tensor")  # fmt: skip
        node.target = IN_PLACE.get(node.target, node.target)


def _split(graph: fx.Graph, node: fx.Node) -> tuple[list[fx.Node], set[fx.Node]]:
    """Return the steps before a step, and those after it."""
    nodes = list(graph.nodes)
    place = nodes.index(node)
    return nodes[:place], set(nodes[place + 1 :])


def _memory(node: fx.Node, modules: Mapping[str, nn.Module]) -> fx.Node:
    """Return the step that made the tensor whose memory a step's result may be."""
    while isinstance(modules.get(str(node.target)) if node.op == "call_module" else as_module(node), VIEWS):
        node = node.all_input_nodes[0]
    return node


def _is_in_place(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    return node.op in CALLS and (node.target in IN_PLACE or bool(arguments(node).get("inplace", False)))


def _is_batch_of_vectors(shape: Sequence[Any]) -> bool:
    """Return whether a shape is (N, -1), N being the size of a batch."""
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple) else shape
    return len(sizes) == 2 and _is_batch_size(sizes[0]) and sizes[1] == -1


def _is_batch_size(size: object) -> bool:
    if not isinstance(size, fx.Node) or not _is_size(size):
        return False
    return size.args[1:] == (0,) and (size.target == "size" or _is_size(size.all_input_nodes[0]))


def _is_size(node: fx.Node) -> bool:
    """Return whether a step returns a tensor's shape, or takes a number out of something."""
    return node.target in ("size", operator.getitem) or (node.target is getattr and node.args[1] == "shape")


def _erase(graph: fx.Graph, is_wanted: Callable[[fx.Node], bool]) -> None:
    for node in reversed(list(graph.nodes)):
        if is_wanted(node):
            graph.erase_node(node)
