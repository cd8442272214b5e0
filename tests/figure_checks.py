"""What tests of figures need: designs to draw, and a check that nothing is cut off or overlaps."""

from itertools import chain, pairwise

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from hwsim.cost import Design
from hwsim.workload import Workload
from hwsim.workloads import Precision, literature, quantized

ARRAY = Design(16, 32, "ws", "bitfusion")


def designs(network: str = "resnet18", weights: str = "uniform", bits: tuple[int, ...] = (4,)) -> dict[str, Workload]:
    return {f"{weights}-w{b}a{b}": quantized(literature(network), Precision(weights, b)) for b in bits}


def cut_or_overlapping(drawing: Figure) -> list[str]:
    """Return the texts that leave the figure, and the pairs of an axis' labels that overlap."""
    drawing.draw_without_rendering()
    axes = [part for panel in drawing.axes for part in (panel, *panel.child_axes)]
    labels = [shown_labels(axis) for panel in axes for axis in (panel.xaxis, panel.yaxis)]
    others = [text for panel in axes for text in (panel.title, panel.xaxis.label, panel.yaxis.label, *panel.texts)]
    others += [*drawing.texts, *(text for legend in drawing.legends for text in legend.get_texts())]
    boxes = {text: text.get_window_extent() for text in (*others, *chain(*labels)) if text.get_text()}
    page = drawing.bbox.padded(1)
    cut = [text.get_text() for text, box in boxes.items() if not page.x0 < box.x0 < box.x1 < page.x1]
    cut += [text.get_text() for text, box in boxes.items() if not page.y0 < box.y0 < box.y1 < page.y1]
    pairs = [pair for texts in labels for pair in pairwise(texts)]
    return cut + [f"{a.get_text()} over {b.get_text()}" for a, b in pairs if overlap(boxes[a], boxes[b]) > 1.5]


def shown_labels(axis: Axis) -> list[Text]:
    """Return the labels of the ticks that are in view."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    labels = [label for tick in ticks for label in (tick.label1, tick.label2)]
    return [label for label in labels if label.get_visible() and label.get_text()]


def overlap(a: Bbox, b: Bbox) -> float:
    """Return by how many pixels two boxes overlap in the direction in which they overlap less."""
    return float(min(min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)))
