"""The roofline figure: the accelerator's numbers, every layer drawn, the roofs named."""

from collections.abc import Mapping

import numpy as np
import pytest
from figure_checks import ARRAY, cut_or_overlapping, designs

from hwsim.cost import Design, accelerator
from hwsim.workload import Workload
from reports.figures import roofline


def test_the_roofline_is_the_accelerators() -> None:
    (name, workload), *_ = designs("mobilenetv2", bits=(4,)).items()
    rows = roofline.data({name: workload}, [ARRAY]).set_index("layer")
    table = accelerator(workload, ARRAY)
    for column, quantity in {"intensity": "intensity", "attainable": "roofline"}.items():
        expected = {entry.layer: entry.value for entry in table.filter(quantity=quantity) if entry.layer != "network"}
        assert rows[column].to_dict() == expected
    cycles = {entry.layer: entry.value for entry in table.filter(quantity="total_cycles")}
    assert rows["attained"].to_dict() == {layer.name: layer.macs / cycles[layer.name] for layer in workload.mac_layers}
    assert (rows["attained"] <= rows["attainable"]).all()
    np.testing.assert_array_equal(rows["attainable"], np.minimum(rows["peak"], rows["intensity"] * rows["bandwidth"]))


def test_peaks_and_shapes_by_hand() -> None:
    """Bit Fusion, 16 x 32 elements: one product of 8 x 8 bits per cycle, four of 4 x 4."""
    rows = roofline.data(designs("mobilenetv2"), [ARRAY]).set_index("layer")
    assert rows["peak"].value_counts().to_dict() == {512 * 4: 51, 512: 2}
    assert rows["shape"].value_counts().to_dict() == {
        "1x1 convolution": 34,
        "depthwise": 17,
        "convolution": 1,
        "linear": 1,
    }


def test_the_roofline_draws_every_layer_and_names_its_roofs() -> None:
    rows = roofline.data(designs(bits=(8, 2)), [ARRAY])
    drawing = roofline.draw(rows)
    assert cut_or_overlapping(drawing) == []
    axes = drawing.axes[0]
    points = [line.get_xydata() for line in axes.get_lines() if line.get_linestyle() == "None"]
    drawn = sorted(map(tuple, np.concatenate(points).tolist()))
    assert drawn == sorted(zip(rows["intensity"], rows["attained"], strict=True))
    assert [text.get_text() for text in axes.texts] == ["DRAM: 128 bit/cycle"]
    peaks = axes.child_axes[0].get_yticklabels()
    assert [text.get_text() for text in peaks] == ["512 (8x8)", "8192 (2x2)"]


@pytest.mark.parametrize(
    ("workloads", "arrays", "names"),
    [
        (designs(bits=(8, 4)), [Design()], ["uniform-w8a8", "uniform-w4a4"]),
        (designs(), [Design(), Design(8, 8)], ["32x32-os-native", "8x8-os-native"]),
        (
            designs(bits=(8, 4)),
            [Design(), Design(8, 8)],
            [f"uniform-w{b}a{b} on {n}x{n}-os-native" for b in (8, 4) for n in (32, 8)],
        ),
    ],
    ids=["designs", "arrays", "both"],
)
def test_the_roofline_names_what_varies(
    workloads: Mapping[str, Workload], arrays: list[Design], names: list[str]
) -> None:
    drawing = roofline.draw(roofline.data(workloads, arrays))
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == names
    assert cut_or_overlapping(drawing) == []
