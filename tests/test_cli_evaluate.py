"""`hwsim evaluate`: the accuracy of float weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command import error, rows

from trainers.data import load_dataset
from trainers.evaluate import count_correct
from trainers.models import make_model
from trainers.weight_file import SAFETENSORS

#: Where the real data and checkpoints lie, if they are at hand: beside the repository, or where the variable says.
SHARED = Path(os.environ.get("HWSIM_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(name="weights")
def weights_file(tmp_path: Path) -> Path:
    """Random weights of the digits' network, in a run's folder."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    path = tmp_path / f"float{SAFETENSORS}"
    save_file(make_model("digits_resnet").state_dict(), path)
    return path


def test_accuracy_is_that_of_all_test_images(weights: Path) -> None:
    from safetensors.torch import load_file

    model = make_model("digits_resnet")
    model.load_state_dict(load_file(weights))
    correct = count_correct(model, load_dataset("digits"))
    expected = {"network": "digits_resnet", "data": "digits", "images": 451, "correct": correct}
    assert rows("evaluate", weights) == [{**expected, "accuracy": correct / 451}]
    assert rows("evaluate", weights.parent) == rows("evaluate", weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "digit"), "unknown data set 'digit'; did you mean 'digits'"),
        (("--data", "cifar10"), "cifar10 is read from disk"),
        (("--model", "resnet20"), "resnet20 does not take the images of digits"),
        (("--data", "mnist", "--data-dir", "nowhere"), "MNIST's file"),
    ],
)
def test_what_does_not_fit_is_named(weights: Path, options: tuple[str, ...], message: str) -> None:
    assert message in error("evaluate", weights, *options)


def test_options_of_the_network_are_taken(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / f"wide{SAFETENSORS}"
    save_file(make_model("digits_resnet", classes=12).state_dict(), path)
    assert "--model-option classes=12" in error("evaluate", path)
    (row,) = rows("evaluate", path, "--model-option", "classes=12")
    assert row["images"] == 451


def test_missing_and_foreign_weights_are_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    assert f"no float weights at '{tmp_path}'" in error("evaluate", tmp_path)
    save_file(make_model("resnet20").state_dict(), tmp_path / "other.safetensors")
    assert "they are those of resnet20" in error("evaluate", tmp_path / "other.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "cifar10").is_dir(), reason=f"no CIFAR-10 in {SHARED}")
def test_the_public_checkpoint_is_right_on_9173_images(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SHARED / "unpack_cifar10.py", tmp_path], check=True, capture_output=True)
    checkpoint = SHARED / "checkpoints" / "resnet20_cifar10_optionA_bsd2.safetensors"
    (row,) = rows("evaluate", checkpoint, "--data", "cifar10", "--data-dir", tmp_path)
    assert (row["network"], row["images"], row["correct"]) == ("resnet20", 10000, 9173)
