"""A network as a short program: which modules run, in which order, on what."""

import inspect
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized

from trainers.functional_glue import arguments, as_module, is_concatenation, is_sum
from trainers.layers import QuantConv2d, QuantLinear
from trainers.models.residual import ZeroPadShortcut
from trainers.plain_steps import drop_options, flatten_views, leave_inputs

#: Layers with weights to quantize.
WEIGHTED = (nn.Conv2d, nn.Linear)

#: Modules that stand between those layers.
GLUE = (
    nn.AdaptiveAvgPool2d,
    nn.AvgPool2d,
    nn.BatchNorm2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Flatten,
    nn.Identity,
    nn.MaxPool2d,
    nn.ReLU,
    nn.ReLU6,
    ZeroPadShortcut,
)


class StepProxy(fx.Proxy):
    """A value of which `+=` is traced as the change in place that it is; torch's own proxies take it for `+`."""

    def __iadd__(self, other: object) -> fx.Proxy:
        """Return the changed value."""
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})


class ModuleTracer(fx.Tracer):
    """Traces a network down to the modules that are understood as a whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether the tracer stops at this module."""
        return is_known(m) or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the value of a step."""
        return StepProxy(node, self)


def trace(model: nn.Module, training: bool = False) -> fx.Graph:
    """Return the network's graph; its leaves are convolutions, linear layers, `GLUE` and `functional_glue`.

    The graph is that of eval mode, or with `training` of training; the model is left in the mode it had. Optional
    inputs have their defaults. No step changes its input (`plain_steps`).

    Raises:
        ValueError: the network has no single input, its path depends on its data, or a step is none of those; the
            message names it.
    """
    options = _options(model)
    try:
        with _in_mode(model, training):
            graph = ModuleTracer().trace(model, concrete_args=options or None)
    except (fx.proxy.TraceError, RuntimeError, TypeError) as error:
        raise ValueError(f"cannot trace {type(model).__name__}: {error}") from error
    modules = dict(model.named_modules())
    drop_options(graph)
    flatten_views(graph)
    leave_inputs(graph, modules)
    for node in graph.nodes:
        _check(node, modules)
        if not training and arguments(node).get("training", False):
            raise ValueError(f"the step {node.name!r} drops in eval mode too: pass training=self.training")
    return graph


def _options(model: nn.Module) -> dict[str, Any]:
    """Return the defaults of a network's inputs after the first.

    Raises:
        ValueError: one has no default, or a list, tuple or dictionary, which `torch.fx` does not hold constant.
    """
    inputs = [*inspect.signature(model.forward).parameters.values()]
    if any(value.default is value.empty or isinstance(value.default, list | tuple | dict) for value in inputs[1:]):
        raise ValueError(f"{type(model).__name__} takes {', '.join(map(str, inputs))}; a network has one input, others "
                         "need a default that is no list, tuple or dict")  # fmt: skip
    return {value.name: value.default for value in inputs[1:]}


@contextmanager
def _in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put all modules into training or eval mode until the block ends, then each into the mode that it had."""
    modes = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def weighted_layers(model: nn.Module) -> list[str]:
    """Return the names of the convolutions and linear layers in the order in which they run.

    Raises:
        ValueError: the network cannot be traced, or a layer runs twice (one input scale cannot serve both).
    """
    modules = dict(model.named_modules())
    calls = [str(node.target) for node in trace(model).nodes if node.op == "call_module"]
    names = [name for name in calls if isinstance(modules[name], WEIGHTED)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"layer {name!r} runs {names.count(name)} times; each layer may run only once")
    if not names:
        raise ValueError(f"{type(model).__name__} has no layer to quantize: no convolution and no linear layer")
    return names


def _check(node: fx.Node, modules: dict[str, nn.Module]) -> None:
    if node.op in ("placeholder", "output"):
        return
    if node.op == "call_module":
        _check_module(str(node.target), modules[str(node.target)])
    elif not (is_sum(node) or is_concatenation(node)) and as_module(node) is None:
        raise ValueError(f"cannot handle the step {node.name!r} ({node.op} {node.target}): use a module or +")


def is_known(module: nn.Module) -> bool:
    """Return whether a module computes what its class stands for: subclasses with a `forward` of their own do not."""
    kinds = (QuantConv2d, QuantLinear, *WEIGHTED, *GLUE)
    kind = next((kind for kind in kinds if isinstance(module, kind)), None)
    return kind is not None and type(module).forward is kind.forward


def _check_module(name: str, module: nn.Module) -> None:
    if not is_known(module):
        known = ", ".join(cls.__name__ for cls in (*WEIGHTED, *GLUE))
        raise ValueError(f"cannot handle module {name!r} ({type(module).__name__}); known are {known}")
    if is_parametrized(module):
        raise ValueError(f"{name!r} has a parametrization, such as weight_norm; remove it before quantizing")
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(f"{name!r} has forward hooks, which would be lost; remove them before quantizing")
    if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
        raise ValueError(f"padding_mode must be 'zeros', {name!r} has {module.padding_mode!r}")
