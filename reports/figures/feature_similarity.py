"""How alike the features of a low-precision network and its float original are during a training with BWRF.

After figure 4 of Yu et al., arXiv:2412.15846, which shows the cosine distance.
"""

import pandas as pd
from matplotlib.figure import Figure

from reports.figures import lines, style, training
from reports.records import Study

PREFIX = "similarity/"


def data(study: Study) -> pd.DataFrame:
    """Return design, seed, epoch, stage and similarity of the runs of one design.

    The similarity is the cosine between the stage's outputs, mean over test images; the last stage's are the logits.

    Raises:
        ValueError: no run was trained with BWRF, or several designs were.
    """
    rows = training.curves_with(study, PREFIX)
    stages = {name: name.removeprefix(PREFIX) for name in training.quantities(rows, PREFIX)}
    chosen = rows.rename(columns=stages)
    keys = ["design", "seed", "epoch"]
    return chosen.melt(keys, list(stages.values()), var_name="stage", value_name="similarity")


def draw(rows: pd.DataFrame) -> Figure:
    """Return the figure: a line per stage over the epochs."""
    with style.paper():
        drawing = style.figure(height_in=2.4)
        axes = drawing.subplots()
        lines.draw(axes, rows, "stage", "epoch", "similarity")
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"cosine of features\n({lines.seeds_text(rows)})")
        axes.set_title(rows["design"].iloc[0])
        drawing.legend(title="output of stage", loc="outside lower center", ncols=3)
    return drawing
