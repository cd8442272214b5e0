"""Bad input to the commands: one line that names the rule and the value, exit code 2, and nothing half-written."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import error, run
from safetensors import safe_open
from safetensors.numpy import save_file
from test_cli import TRAIN

from hwsim.network_file import load_network
from trainers import loop
from trainers.checkpoint import State
from trainers.run_folder import LOCK

IMAGES = np.zeros((3, 1, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("formats --bits 17", "bits must be in 1..16, got 17"),
        ("formats --bits 0", "bits must be in 1..16, got 0"),
        ("formats --bits 3,x", "--bits takes integers, got 'x'"),
        ("formats --bits 3,,4", "--bits takes different entries separated by commas, got '' in '3,,4'"),
        ("formats --exponents 0", "exponents must be an integer in 1..1 for 2-bit pot, got 0"),
        ("formats --bits 8 --exponents 63", "at most exponents=62 fit"),
        ("multipliers --bits 9", "bits must be in 2..8, got 9"),
        ("multipliers --bits 1", "bits must be in 2..8, got 1"),
        ("multipliers --act-bits 0", "bits must be an integer in 1..16 for uniform, got 0"),
        ("multipliers --act-bits 17", "bits must be an integer in 1..16 for uniform, got 17"),
        ("multipliers --exponents 0", "exponents must be an integer in 1..1 for 2-bit pot, got 0"),
        ("multipliers --bits 8 --exponents 56", "at most exponents=55 fit"),
        ("multipliers --fraction-bits 13", "fraction_bits must be an integer in 0..12, got 13"),
    ],
)
def test_catalogue(arguments: str, message: str) -> None:
    assert message in error(*arguments.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--bits 9", "bits must be an integer in 1..8, got 9"),
        ("--bits 1", "bits must be in 2..8 for lsq, got 1"),
        ("--act-bits 9", "act_bits must be an integer in 1..8, got 9"),
        ("--data digit", "unknown data set 'digit'; did you mean 'digits'?"),
        ("--data cifar10", "cifar10 is read from disk: give the folder that holds"),
        ("--model digits_resnt", "unknown model 'digits_resnt'; did you mean 'digits_resnet'?"),
        ("--model resnet20", "resnet20 does not take the images of digits, (1, 8, 8)"),
        ("--weights unifrm", "unknown method for weights 'unifrm'; did you mean 'uniform'?"),
        ("--activations pot", "pot does not quantize activations; these methods do: lsq"),
        ("--weights post --layout ful", "unknown table layout 'ful'; did you mean 'full'?"),
        ("--weights post --fraction-bits 13", "fraction_bits must be an integer in 0..12, got 13"),
        ("--weights post --exponents 0", "exponents must be an integer in 1..7 for 4-bit post, got 0"),
        ("--weights pot --bits 8", "8-bit pot with 127 exponents makes products of 127 bits"),
        ("--weights pot --bits 8 --exponents 60", "at most exponents=55 fit"),
        ("--weights uniform --exponents 3", "uniform has no option 'exponents'; it has none"),
        ("--model-option shortcut=C --model resnet20", "shortcut"),
        ("--model-option clases=3", "unknown option of model digits_resnet 'clases'; did you mean 'classes'"),
        ("--model-option classes=ten", "model digits_resnet cannot be made with classes='ten': "),
        ("--model-option classes=3", "digits_resnet has 3 outputs, digits has 10 classes"),
        ("--weight-option alpha", "--weight-option takes NAME=VALUE with different names, got 'alpha'"),
        ("--weight-option a=1 --weight-option a=2", "takes NAME=VALUE with different names, got 'a=2'"),
        ("--weights apot --weight-option alfa=1", "apot has no option 'alfa'; it has alpha"),
        ("--weights apot --weight-option alpha=-1", "alpha must be positive and finite for apot, got -1"),
        ("--activations faq --activation-option percentile=101", "percentile must be over 0 and at most 100"),
        ("--epochs 0", "epochs must be at least 1, got 0"),
        ("--batch-size 0", "batch_size must be at least 1, got 0"),
        ("--lr -1", "lr must be a finite number that is not negative, got -1.0"),
        ("--seed -1", "seed must be a finite number that is not negative, got -1"),
        ("--seeds 0,1,x", "--seeds takes integers, got 'x'"),
        ("--seeds 1,1", "--seeds takes different entries separated by commas, got '1' in '1,1'"),
        ("--seeds 0,-1", "seed must be a finite number that is not negative, got -1"),
        ("--seed 0 --seeds 1,2", "--seed is one run and --seeds are several: give one of them"),
        ("--parallel 0", "--parallel must be an integer in 1..64, got 0"),
        ("--schedule steps", "unknown schedule 'steps'; did you mean 'step'?"),
        ("--schedule step", "the schedule step needs milestones"),
        ("--milestones 1,b", "--milestones takes integers, got 'b'"),
        ("--warmup-epochs 20", "warmup_epochs must be in 0..19 for 20 epochs, got 20"),
        ("--label-smoothing 1", "label_smoothing must be at least 0 and below 1, got 1.0"),
        ("--average 1", "average is a decay over 0 and below 1, got 1.0"),
        ("--device gpu", "device must be cpu, cuda or cuda:N, got 'gpu'"),
        ("--device cuda:99", "device cuda:99 is asked for, but torch sees "),
        ("--multiplier drum --compile", "product tables and accumulators are trained through on the CPU, not compiled"),
        ("--augment crop", "unknown augment 'crop'; did you mean 'crop_flip'?"),
        ("--bwrf-temperature 2", "--bwrf-temperature needs --bwrf"),
        ("--init nowhere", "no float weights at 'nowhere': looked for the files"),
    ],
)
def test_train(arguments: str, message: str, tmp_path: Path) -> None:
    """Found before anything is trained: the folder stays empty, even where float weights would be trained first."""
    assert message in error("train", *arguments.split(), "--out", tmp_path)
    assert not list(tmp_path.iterdir())


def test_train_into_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "runs"):
        assert str(tmp_path / "file") in error(*TRAIN, "--out", out)
    assert (tmp_path / "file").read_text() == "mine"


def test_train_in_a_folder_of_another_run(tmp_path: Path) -> None:
    run(*TRAIN, "--weights", "float", "--out", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = run(*TRAIN, "--weights", "float", "--lr", 0.3, "--out", tmp_path)
    assert result.exit_code == 2
    assert "holds a run with lr=0.2, this one has 0.3; use another folder" in result.stderr.splitlines()[-1]
    [folder] = tmp_path.iterdir()
    with (folder / LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as another process does
        result = run(*TRAIN, "--weights", "float", "--out", tmp_path)
    assert result.exit_code == 2
    assert "is in use by another run; one folder takes one run at a time" in result.stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_train_that_diverges(tmp_path: Path) -> None:
    message = error(*TRAIN, "--weights", "float", "--lr", 1e30, "--out", tmp_path)
    assert message.startswith("the loss became ")
    assert "of epoch 1; first not finite is the output of layer 'layer" in message
    assert message.endswith("no checkpoint was saved before; lower the learning rate, or start from trained weights")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_interrupted_train_says_how_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = loop.train_step

    def interrupted(state: State, *batch: object) -> None:
        if state.epoch == 2:
            raise KeyboardInterrupt
        original(state, *batch)  # type: ignore[arg-type]

    command = ("train", "--weights", "float", "--epochs", 2, "--batch-size", 512, "--out", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupted)
        result = run(*command)
    assert result.exit_code == 130
    assert result.stdout == ""
    assert (
        result.stderr.splitlines()[-1]
        == "hwsim: error: interrupted: run the same command again; if it had saved anything, that is kept"
    )
    assert run(*command).exit_code == 0


def broken_networks(good: Path) -> dict[str, tuple[Callable[[Path], object], str]]:
    """Return how to make each kind of bad network file, and what is said of it."""
    content = good.read_bytes()
    with safe_open(good, "numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    digest, _, text = metadata["hwsim.network"].partition(" ")
    other = {"hwsim.network": f"{digest} {json.dumps({**json.loads(text), 'version': 99})}"}
    flipped = bytes([*content[:-1], content[-1] ^ 1])
    return {
        "missing": (lambda path: None, "no network file at"),
        "folder": (lambda path: path.mkdir(), "no network file at"),
        "empty": (lambda path: path.write_bytes(b""), "is truncated or not a safetensors file"),
        "truncated": (lambda path: path.write_bytes(content[:-7]), "is truncated or not a safetensors file"),
        "edited": (lambda path: path.write_bytes(flipped), "was edited or damaged: its checksum does not match"),
        "version": (lambda path: save_file(tensors, path, other), "has version 99, this hwsim reads version 1"),
        "model": (
            lambda path: path.write_bytes((good.parent / "model.safetensors").read_bytes()),
            "is a safetensors file, but not an hwsim network",
        ),
        "text": (lambda path: path.write_text("hello " * 50), "is truncated or not a safetensors file"),
    }


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "truncated", "edited", "version", "model", "text"])
def test_network_file(kind: str, tiny_network: Path, tmp_path: Path) -> None:
    make, message = broken_networks(tiny_network)[kind]
    path = tmp_path / "network.safetensors"
    make(path)
    for command in ("simulate", "cost"):
        assert message in error(command, path)
        assert str(path) in error(command, path)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((3, 1, 8, 8), np.nan), "images must be finite, got nan at index (0, 0, 0, 0)"),
        (np.full((3, 1, 8, 8), np.inf), "images must be finite, got inf at index (0, 0, 0, 0)"),
        (np.zeros((3, 8, 8)), "images must have shape (N, 1, 8, 8) with N > 0, got (3, 8, 8)"),
        (np.zeros((0, 1, 8, 8)), "images must have shape (N, 1, 8, 8) with N > 0, got (0, 1, 8, 8)"),
        (np.float64(3), "images must have shape (N, 1, 8, 8) with N > 0, got (1,)"),
        (np.zeros((3, 1, 8, 8), complex), "must hold real numbers, got complex128"),
        (np.full((3, 1, 8, 8), "a"), "must hold real numbers, got <U1"),
        (np.full((3, 1, 8, 8), None), "is not a .npy file of numbers: Array can't be memory-mapped"),
    ],
)
def test_images(images: np.ndarray, message: str, tiny_network: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images, allow_pickle=True)
    assert message in error("simulate", tiny_network, "--images", tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(4, int), "must hold one label per image, shape (3,), got (4,)"),
        (np.zeros((3, 1), int), "must hold one label per image, shape (3,), got (3, 1)"),
        (np.zeros(3), "must hold integers, got float64"),
    ],
)
def test_labels(labels: np.ndarray, message: str, tiny_network: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    np.save(tmp_path / "y.npy", labels)
    options = ("--images", tmp_path / "x.npy", "--labels", tmp_path / "y.npy")
    assert message in error("simulate", tiny_network, *options)
    assert message in error("simulate", tiny_network, *options, "--layers")


def test_files_that_are_no_arrays(tiny_network: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    assert f"no .npy file at {path}" in error("simulate", tiny_network, "--images", path)
    np.savez(tmp_path / "x.npz", IMAGES)
    contents = (b"", b"hello", (tmp_path / "x.npz").read_bytes())
    for content in contents:
        path.write_bytes(content)
        assert f"{path} is not a .npy file of numbers" in error("simulate", tiny_network, "--images", path)
    np.save(path, IMAGES)
    path.write_bytes(path.read_bytes()[:-8])
    assert f"{path} is not a .npy file of numbers" in error("simulate", tiny_network, "--images", path)


def test_simulate_options(tiny_network: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    images = ("--images", tmp_path / "x.npy")
    assert "unknown engine 'tensr'; did you mean 'tensor'?" in error("simulate", tiny_network, "--engine", "tensr")
    assert "unknown data set 'digit'; did you mean 'digits'?" in error("simulate", tiny_network, "--data", "digit")
    assert "batch_size must be at least 1, got 0" in error("simulate", tiny_network, "--batch-size", 0)
    assert "give either --images or --data" in error("simulate", tiny_network, *images, "--data", "digits")
    assert "--labels belong to --images" in error("simulate", tiny_network, "--labels", tmp_path / "x.npy")


def test_report(tiny_study: Path, tmp_path: Path) -> None:
    assert "no folder" in error("report", tmp_path / "none")
    assert error("report", tmp_path).endswith(f"below {tmp_path}; hwsim train and hwsim demo write them")
    record = tmp_path / "run" / "record.json"
    record.parent.mkdir()
    for text, message in (
        ("{", "is no run record"),
        ("[]", "it must hold an object, got list"),
        ("{}", "schema must be"),
    ):
        record.write_text(text)
        assert message in error("report", tmp_path)
        assert str(record) in error("report", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [record]
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in error("report", tiny_study, "--out", tmp_path / "file")


def test_usage() -> None:
    """What the parser finds itself: the same exit code, and the option or the value is named."""
    for arguments, rule in {
        "formats --format xml": "'xml' is not one of",
        "train --bits four": "Invalid value for '--bits'",
        "demo --seeds 0": "Invalid value for '--seeds'",
        "demo --workers 0": "Invalid value for '--workers'",
        "simulat": "No such command 'simulat'",
        "simulate": "Missing argument",
        "cost x --frmat csv": "No such option: --frmat",
    }.items():
        result = run(*arguments.split())
        assert result.exit_code == 2
        assert rule in " ".join(result.stderr.replace("│", " ").split())
        assert result.stdout == ""


def test_options_without_effect() -> None:
    assert "a precision begins with --bits; without it --weights" in error("cost", "resnet18", "--weights", "post")
    assert "without it --first-last would have no effect" in error("cost", "resnet18", "--first-last", 4)
    assert "--exponents belongs to pot and post" in error("cost", "resnet18", "--bits", 4, "--exponents", 3)
    assert "got '4' in '4,4'" in error("cost", "resnet18", "--bits", "4,4")
    assert "--first-last takes integers, got '8,4'" in error("cost", "resnet18", "--bits", 4, "--first-last", "8,4")
    assert "--metrics takes different entries" in error("cost", "resnet18", "--metrics", "")
    assert "--array takes different entries" in error("accelerator", "resnet18", "--array", "8x8,8x8")
    assert "holds no formats" in error("workload", "resnet18", "--bits", 4, "--to", "csv", "--out", "x.csv")


def test_accumulators(tiny_network: Path) -> None:
    needed = max(layer.required_bits for layer in load_network(tiny_network).layers)
    assert f"{needed} bits would do" in error("simulate", tiny_network, "--accumulator-bits", needed - 1)
    assert "--overflow belongs to --accumulator-bits" in error("simulate", tiny_network, "--overflow", "wrap")
    assert "did you mean 'wrap'?" in error("simulate", tiny_network, "--accumulator-bits", 9, "--overflow", "wrapp")


def test_labels_beyond_the_classes(tiny_network: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((2, 1, 8, 8)))
    np.save(tmp_path / "labels.npy", np.array([99, -1]))
    files = ("--images", tmp_path / "images.npy", "--labels", tmp_path / "labels.npy")
    assert "labels must be in 0..9, got -1..99" in error("simulate", tiny_network, *files)


def test_costs_that_would_mislead(tiny_network: Path) -> None:
    assert "it has its own precision, and no other" in error("cost", tiny_network, "--bits", 4)
    assert "overhead is a table of its own" in error("cost", "resnet18", "--metrics", "overhead")
    assert "needs weight codes" in error("bops", "resnet18", "--bits", 4, "--convention", "ebops")
    huge = f"{2**20 + 1}x1"
    assert "rows of an array must be at most 1048576, got 1048577" in error("accelerator", "resnet18", "--array", huge)
    assert "clock_mhz must be above 0 and finite, got inf" in error("accelerator", "resnet18", "--clock-mhz", "inf")
