"""The literature's networks: their totals, and that the shipped files are what the torch models give."""

from pathlib import Path

import pytest

from hwsim.workload import Workload, WorkloadError
from hwsim.workloads import LITERATURE, Precision, literature, load_workload, quantized
from hwsim.workloads.csv_file import COLUMNS, parse_csv, read_csv, to_csv, write_csv

# torchvision counts the ImageNet networks so (parameters exactly; MACs with fvcore, batch norm and pooling left out).
# The CIFAR networks follow He et al., arXiv:1512.03385, section 4.2; with shortcut B each of two 1x1s adds to A.
TOTALS = {
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet20_a": (269_722, 40_551_040),
    "resnet20_b": (272_474, 40_813_184),
    "resnet32_a": (464_154, 68_862_592),
    "resnet32_b": (466_906, 69_124_736),
    "resnet56_a": (853_018, 125_485_696),
    "resnet56_b": (855_770, 125_747_840),
    "mobilenetv2": (3_504_872, 300_774_272),
    "vgg16": (138_357_544, 15_470_264_320),
    "alexnet": (61_100_840, 714_188_480),
}


@pytest.mark.parametrize("name", LITERATURE)
def test_totals(name: str) -> None:
    workload = literature(name)
    assert (workload.parameters, workload.macs) == TOTALS[name]


def test_resnet18_has_19_inner_convolutions() -> None:
    """All but conv1 (64*3*49*112^2 = 118,013,952) and fc (512*1000)."""
    inner = literature("resnet18").mac_layers[1:-1]
    assert (len(inner), sum(layer.macs for layer in inner)) == (19, 1_695_547_392)


@pytest.mark.parametrize("name", LITERATURE)
def test_the_shipped_file_is_what_the_torch_model_gives(name: str) -> None:
    traced = pytest.importorskip("trainers.literature").traced
    assert traced(name) == literature(name)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown network 'resnet19'; did you mean 'resnet18'"):
        load_workload("resnet19")


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(WorkloadError, match=r"net.txt: a workload is a .csv"):
        load_workload("net.txt")


def test_a_csv_file_survives_a_round_trip(tmp_path: Path) -> None:
    workload = literature("mobilenetv2")
    write_csv(workload, tmp_path / "mobilenetv2.csv")
    assert read_csv(tmp_path / "mobilenetv2.csv") == load_workload(tmp_path / "mobilenetv2.csv") == workload


def changed(column: str, value: str) -> str:
    """Return ResNet-18's CSV with one cell of its first layer changed."""
    header, first, *rest = to_csv(literature("resnet18")).splitlines()
    cells = first.split(",")
    cells[COLUMNS.index(column)] = value
    return "\n".join([header, ",".join(cells), *rest])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("K", "-64", "x.csv, line 2: layer conv1: K must be an integer of at least 1, got -64"),
        ("K", "", "x.csv, line 2: column K holds an integer, got ''"),
        ("OY", "111", "x.csv, line 2: layer conv1: a window of 7 with stride 2"),
        ("groups", "2", "x.csv, line 2: layer conv1: groups=2 must divide C=3"),
        ("has_bias", "no", "x.csv, line 2: column has_bias holds 0 or 1, got 'no'"),
        ("kind", "konv", "x.csv, line 2: layer conv1: unknown kind 'konv'; did you mean 'conv'"),
        ("inputs", "stem", "layer conv1: no earlier layer is called stem"),
    ],
)
def test_a_cell_that_cannot_be_is_named_with_its_place(column: str, value: str, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        parse_csv(changed(column, value), "x", "x.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv: no column 'name'"),
        (",".join(COLUMNS[:-1]) + "\n", "x.csv: no column 'shared'"),
        (",".join([*COLUMNS, "colour"]) + "\n", "x.csv: column 'colour' is unknown"),
        (",".join(COLUMNS) + "\n", "x.csv: no layers below the header"),
        (",".join(COLUMNS) + "\nconv1,\n", "x.csv, line 2: 2 cells for 26 columns"),
    ],
)
def test_a_table_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        parse_csv(text, "x", "x.csv")


def test_what_a_file_would_lose_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.csv"
    with pytest.raises(WorkloadError, match=r"no formats, scales or accumulators: layer conv1/quantizer has some"):
        write_csv(quantized(literature("resnet18"), Precision("pot", 4)), file)
    assert not list(tmp_path.iterdir())


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    file = tmp_path / "resnet18.csv"
    file.write_text(to_csv(literature("resnet18")), encoding="utf-8-sig")
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    assert read_csv(file) == literature("resnet18")


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "net.csv"
    file.write_bytes(b"name,caf\xe9\n")
    with pytest.raises(WorkloadError, match=r"net\.csv: a layer list is UTF-8 text, got the byte 0xe9"):
        read_csv(file)


def test_reading_gives_a_workload() -> None:
    assert isinstance(literature("alexnet"), Workload)
