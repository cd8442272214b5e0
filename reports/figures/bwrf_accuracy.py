"""Accuracy of the mixed-precision networks beside the low-precision one during a training with BWRF.

After figure 3 of Yu et al., arXiv:2412.15846.
"""

import pandas as pd
from matplotlib.figure import Figure

from reports.figures import lines, style, training
from reports.records import Study

PREFIX = "mixed_accuracy/"
LOW, FULL = "all low precision", "all float"


def data(study: Study) -> pd.DataFrame:
    """Return design, seed, epoch, network and accuracy (share of test images) of the runs of one design.

    Networks: all low precision; low precision up to a stage, by its name; all float, which does not change.

    Raises:
        ValueError: no run was trained with BWRF, or several designs were.
    """
    rows = training.curves_with(study, PREFIX)
    full = study.runs[study.runs["design"].isin(rows["design"])].set_index("seed")["accuracy_float"]
    stages = {name: f"low precision up to {name.removeprefix(PREFIX)}" for name in training.quantities(rows, PREFIX)}
    networks = {"test_accuracy": LOW, **stages, "full": FULL}
    chosen = rows.assign(full=rows["seed"].map(full)).rename(columns=networks)
    keys = ["design", "seed", "epoch"]
    return chosen.melt(keys, list(networks.values()), var_name="network", value_name="accuracy")


def draw(rows: pd.DataFrame) -> Figure:
    """Return the figure: a line per network over the epochs."""
    with style.paper():
        drawing = style.figure(height_in=2.6)
        axes = drawing.subplots()
        lines.draw(axes, rows.assign(accuracy=100 * rows["accuracy"]), "network", "epoch", "accuracy")
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"test accuracy [%]\n({lines.seeds_text(rows)})")
        axes.set_title(rows["design"].iloc[0])
        drawing.legend(loc="outside lower center", ncols=2)
    return drawing
