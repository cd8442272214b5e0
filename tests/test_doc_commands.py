"""Every command of the documentation runs, or at least is one that the programs would take.

The commands of a page run one after the other in a folder that holds what the pages speak of: trained networks, a
product table, an ONNX file. Training is cut to one epoch from a float network that had one, too. What is only parsed
stands in `PARSED`, each with its reason; what is only told what it would do, in `DRY`.
"""

import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import run
from doc_checks import check_command, check_mention
from doc_snippets import PAGES, ROOT, TRAINED, commands, inline_commands, run_python, snippets

from hwsim.formats import Uniform
from hwsim.multipliers.examples import example

#: Commands that the tests do not run, and why. Their options and the types of their values are checked.
PARSED = {
    "hwsim * --data cifar10 *": "CIFAR-10 is not in the repository",
    "hwsim report runs/bwrf": "of 36 trainings",
    "torchrun *": "starts processes; tests/test_processes.py does so",
}
#: Commands that are run with `--dry-run`, and why.
DRY = {
    "hwsim demo": "takes minutes; tests/test_cli_process.py starts it",
    "hwsim rtl table *": "synthesises every circuit, half an hour",
    "hwsim train *--out runs/bwrf": "36 trainings",
}
#: Commands that train, or need what was trained, or take seconds: they run in `make test-all`.
LONG = ("hwsim train*", "hwsim allocate *", "* runs/*", "*.safetensors*", "*NETWORK_FILE*", "*--fresh*")
FLOAT = "runs/demo/digits-digits_resnet-float-s0"
SHORT_TRAINING = f"--epochs 1 --batch-size 512 --init {FLOAT}"
#: What stands for a name of the reader's.
NAMES = {
    "NETWORK_FILE": "network.safetensors",
    "NAME": "layer2.0.conv2",
    "/mnt/shared/q": "queue",
}
#: Methods of `network.safetensors`, where a page needs others than uniform weights.
METHODS = {"docs/gates.md": "pot", "docs/rtl.md": "uniform-asq"}
SHELL = {page: [*dict.fromkeys(c for s in snippets(path) for c in commands(s))] for page, path in PAGES.items()}


def is_parsed(command: str) -> bool:
    return any(fnmatch(command, pattern) for pattern in PARSED)


def is_long(command: str) -> bool:
    return any(fnmatch(command, pattern) for pattern in LONG)


RUN = {page: [c for c in found if c.startswith("hwsim ") and not is_parsed(c)] for page, found in SHELL.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one epoch, as the pages name them."""
    from trainers.config import TrainConfig
    from trainers.study import run_study

    folder = tmp_path_factory.mktemp("trained")
    baseline = TrainConfig(study="demo", epochs=1, batch_size=512)
    quantized = [
        replace(baseline, weights=weights, bits=4, init=baseline.run_id) for weights in ("uniform", "pot", "post")
    ]
    quantized.append(replace(quantized[0], activations="asq"))
    run_study([baseline, *(replace(config, seed=seed) for config in quantized for seed in (0, 1))], folder)
    return folder


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin in a folder with the files that a reader of the pages brings."""
    monkeypatch.chdir(tmp_path)
    np.save("mytable.npy", example("drum", Uniform(4), Uniform(4, signed=False)).table())
    Path("benchmarks").symlink_to(ROOT / "benchmarks")
    Path("mine.py").write_text("def product(w: int, a: int) -> int:\n    return w * a & ~1\n")


@pytest.fixture
def workplace(trained: Path) -> Callable[[str], None]:
    """Return what puts the trained networks that a page names into the folder in which its commands run."""
    from trainers.data import load_dataset

    def prepare(page: str) -> None:
        shutil.copytree(trained, Path("runs", "demo"))
        for study, weights in (("a", "pot"), ("b", "post")):
            for run_folder in trained.glob(f"*-{weights}-*"):
                shutil.copytree(run_folder, Path("runs", study, run_folder.name))
        network = trained / f"digits-digits_resnet-{METHODS.get(page, 'uniform')}-w4a4-s0" / "network.safetensors"
        shutil.copy(network, ".")
        digits = load_dataset("digits")
        np.save("images.npy", digits.normalized(digits.test_images[:20]))
        np.save("labels.npy", digits.test_labels[:20])

    return prepare


def save_onnx(path: Path) -> None:
    """Write a network of one convolution."""
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    shapes = {"x": [1, 3, 8, 8], "y": [1, 4, 8, 8]}
    values = {name: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, s) for name, s in shapes.items()}
    weight = onnx.numpy_helper.from_array(np.zeros((4, 3, 3, 3), dtype=np.float32), "w")
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = onnx.helper.make_graph([node], "net", [values["x"]], [values["y"]], [weight])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), str(path))


def words_to_run(command: str) -> list[str]:
    """Return the words after `hwsim`, with files that exist here and training cut short."""
    _, *words = shlex.split(command)
    if words[0] == "train":
        words += SHORT_TRAINING.split()
    if any(fnmatch(command, pattern) for pattern in DRY):
        words.append("--dry-run")
    return [NAMES.get(word, word) for word in words]


def run_all(page: str, wanted: list[str]) -> None:
    for command in wanted:
        result = run(*words_to_run(command))
        assert result.exit_code == 0, f"{page}: {command}: {result.stderr}{result.exception!r}"


@pytest.mark.parametrize("page", [page for page, found in RUN.items() if not all(map(is_long, found))])
def test_quick_commands_run(page: str) -> None:
    save_onnx(Path("net.onnx"))
    run_all(page, [command for command in RUN[page] if not is_long(command)])


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, found in RUN.items() if any(map(is_long, found)) or page in TRAINED])
def test_long_commands_run(page: str, workplace: Callable[[str], None]) -> None:
    """Where Python needs what commands make, or the other way round, both run in their order."""
    workplace(page)
    names: dict[str, Any] = {}
    for snippet in snippets(PAGES[page]):
        run_all(page, [c for c in dict.fromkeys(commands(snippet)) if c in RUN[page] and is_long(c)])
        if page in TRAINED and snippet.language == "python":
            run_python(snippet, names)


@pytest.mark.parametrize(("page", "command"), [(page, c) for page, found in SHELL.items() for c in found])
def test_commands_are_taken(page: str, command: str) -> None:
    check_command(command)


@pytest.mark.parametrize(("page", "text"), [(page, c) for page, path in PAGES.items() for c in inline_commands(path)])
def test_commands_in_sentences_have_their_options(page: str, text: str) -> None:
    check_mention(text)


@pytest.mark.parametrize(
    "wrong", ["hwsim nothing", "hwsim cost --bitz 4", "hwsim rtl emit --bits four", "make nothing", "sudo reboot"]
)
def test_wrong_commands_are_found(wrong: str) -> None:
    with pytest.raises((Exception, SystemExit)):
        check_command(wrong)


def test_each_exception_is_still_needed() -> None:
    found = [command for commands_of_page in SHELL.values() for command in commands_of_page]
    assert [
        pattern for pattern in (*PARSED, *DRY, *LONG) if not any(fnmatch(command, pattern) for command in found)
    ] == []


def test_there_is_something_to_run() -> None:
    assert sum(len(found) for found in SHELL.values()) > 60
