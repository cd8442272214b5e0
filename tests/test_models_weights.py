"""Weights of public checkpoints: names, file kinds, and what is said of those that belong to another network."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command import error
from safetensors.torch import save_file
from torch import Tensor, nn

from trainers.data import load_dataset
from trainers.evaluate import predict
from trainers.models import MODELS, make_model
from trainers.models.weights import load_weights
from trainers.weight_file import read_weights

State = dict[str, Tensor]


def as_chenyaofo(name: str) -> str:
    return name.replace("linear.", "fc.").replace(".shortcut.", ".downsample.")


def as_pytorchcv(name: str) -> str:
    """Return pytorchcv's name, written out independently of the pattern that reads it."""
    parts = name.split(".")
    if parts[0] == "linear":
        return f"output.{parts[1]}"
    if len(parts) == 2:
        return f"features.init_block.{parts[0][:-1]}.{parts[1]}"
    unit = f"features.stage{parts[0][-1]}.unit{int(parts[1]) + 1}"
    if parts[2] == "shortcut":
        return f"{unit}.identity_conv.{'conv' if parts[3] == '0' else 'bn'}.{parts[4]}"
    return f"{unit}.body.conv{parts[2][-1]}.{parts[2][:-1]}.{parts[3]}"


def in_data_parallel(name: str) -> str:
    return f"module.{name}"


def compiled_in_data_parallel(name: str) -> str:
    return f"module._orig_mod.{as_chenyaofo(name)}"


@pytest.mark.parametrize("rename", [str, as_chenyaofo, as_pytorchcv, in_data_parallel, compiled_in_data_parallel])
@pytest.mark.parametrize("counters", [True, False])
def test_every_usual_naming_loads(rename: Callable[[str], str], counters: bool) -> None:
    public = make_model("resnet32", shortcut="B", classes=100).state_dict()
    kept = {name: value for name, value in public.items() if counters or not name.endswith("batches_tracked")}
    model = make_model("resnet32", shortcut="B", classes=100)
    load_weights(model, {rename(name): value for name, value in kept.items()})
    assert all(torch.equal(value, public[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options", "likely"),
    [
        ("resnet32", {}, "they are those of resnet32"),
        ("resnet20", {"shortcut": "B"}, "they are those of resnet20 with shortcut='B' (--model-option shortcut=B)"),
        ("resnet20", {"classes": 100}, "they are those of resnet20 with classes=100 (--model-option classes=100)"),
        (
            "resnet20",
            {"channels": 1, "classes": 47},
            "they are those of resnet20 with channels=1, classes=47 "
            "(--model-option channels=1 --model-option classes=47)",
        ),
        ("resnet18", {"classes": 5}, "they are those of resnet18 with classes=5 (--model-option classes=5)"),
        ("mobilenetv2", {}, "they are those of mobilenetv2"),
        ("digits_resnet", {"widths": [3, 5, 7]}, "no network of ours has such names and shapes"),
    ],
)
def test_weights_of_another_network_name_it(name: str, options: dict[str, object], likely: str) -> None:
    with pytest.raises(ValueError, match="the weights do not fit the model") as caught:
        load_weights(make_model("resnet20"), make_model(name, **options).state_dict())
    assert str(caught.value).endswith(f"; {likely}")


@pytest.mark.parametrize("name", MODELS)
def test_every_network_is_known_by_its_weights(name: str) -> None:
    with torch.device("meta"):
        state = make_model(name).state_dict()
    with pytest.raises(ValueError, match=rf"they are those of {name}$"):
        load_weights(nn.Linear(1, 1), state)


def test_differences_are_listed() -> None:
    state = make_model("digits_resnet").state_dict()
    del state["linear.bias"]
    state |= {f"extra{i}": torch.zeros(1) for i in range(6)}
    state["conv1.weight"] = torch.zeros(2, 3, 3, 3)
    with pytest.raises(ValueError, match="the weights do not fit the model") as caught:
        load_weights(make_model("digits_resnet"), state)
    assert (
        "1 missing (linear.bias); 6 unexpected (extra0, extra1, extra2, extra3, ...); "
        "1 of another shape (conv1.weight (2, 3, 3, 3) for (2, 1, 3, 3)); no network"
    ) in str(caught.value)


@pytest.mark.parametrize(
    "nest", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"net": s, "acc": 0.9}]
)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".tar"])
def test_pytorch_files_are_read(nest: Callable[[State], object], suffix: str, tmp_path: Path) -> None:
    state = make_model("digits_resnet").state_dict()
    path = tmp_path / f"weights{suffix}"
    torch.save(nest(state), path)
    read = read_weights(path)
    assert read.keys() == state.keys()
    assert all(torch.equal(value, read[name]) for name, value in state.items())


def test_safetensors_files_are_read(tmp_path: Path) -> None:
    state = make_model("digits_resnet").state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    assert read_weights(tmp_path / "weights.safetensors").keys() == state.keys()


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    torch.save({"state_dict": Bomb(tmp_path / "unpickled")}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"weights\.pt is damaged, or holds more than tensors"):
        read_weights(tmp_path / "weights.pt")
    assert not (tmp_path / "unpickled").exists()


def truncated(path: Path) -> None:
    torch.save(make_model("digits_resnet").state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])


def empty(path: Path) -> None:
    path.touch()


def an_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "no weights")


def text(path: Path) -> None:
    path.write_text("weights are elsewhere")


@pytest.mark.parametrize("damage", [truncated, empty, an_archive, text])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files_are_named(damage: Callable[[Path], None], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    damage(path)
    with pytest.raises(ValueError, match=rf"weights\{suffix} is (not a readable|damaged)"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ([torch.zeros(1)], "holds no state dict, got list"),
        ({}, "holds no state dict, got dict"),
        ({"epoch": 3, "w": torch.zeros(1)}, "holds no state dict: 'epoch' is int, not a tensor"),
        ({"state_dict": {"w": [1.0]}}, "holds no state dict: 'w' is list, not a tensor"),
    ],
)
def test_files_without_a_state_dict_are_refused(content: object, rule: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=rf"weights\.pt {rule}"):
        read_weights(tmp_path / "weights.pt")


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights are read from files named \.safetensors, \.pt, .*, got .*\.npz"):
        read_weights(tmp_path / "weights.npz")
    for name in ("weights.pt", "weights.safetensors"):
        with pytest.raises(FileNotFoundError, match=f"no file .*{name}"):
            read_weights(tmp_path / name)
    (tmp_path / "weights.pth").touch()
    with pytest.raises(ValueError, match=r"weights\.pth is not a readable file of weights: it is empty"):
        read_weights(tmp_path / "weights.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_named(value: float, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    state = make_model("digits_resnet").state_dict()
    state["bn1.weight"][1] = value
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    with pytest.raises(ValueError, match=r"cannot be started from: bn1\.weight holds NaN or infinity"):
        read_weights(path)


def test_the_command_names_the_network_that_a_file_fits(tmp_path: Path) -> None:
    torch.save({"state_dict": make_model("resnet20").state_dict()}, tmp_path / "resnet20.th")
    arguments = ("train", "--init", tmp_path / "resnet20.th", "--out", tmp_path / "runs")
    assert "they are those of resnet20" in error(*arguments)


@pytest.mark.slow
def test_public_cifar10_checkpoint_classifies(cifar10_folder: Path, shared_data: Path) -> None:
    """Known answer of the checkpoint: 91.73 % of the 10,000 test images; here the first 600."""
    dataset = load_dataset("cifar10", cifar10_folder)
    model = make_model("resnet20")
    load_weights(model, read_weights(shared_data / "checkpoints" / "resnet20_cifar10_optionA_bsd2.safetensors"))
    correct = predict(model, dataset, dataset.test_images[:600]).numpy() == dataset.test_labels[:600]
    assert correct.mean() > 0.88
