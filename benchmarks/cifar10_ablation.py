"""Table 5 of the ASQ paper rerun on CIFAR-10: `python cifar10_ablation.py --data-dir DIR --init FILE`.

ResNet-20 from float weights by one recipe for every method, exported and simulated bit by bit. Runs stay in --out: what
was interrupted continues, what is finished is reused.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainers.bwrf import BwrfConfig
from trainers.config import TrainConfig
from trainers.presets import PRESETS
from trainers.study import run_design

#: What each row of the table trains: weights, activations, and whether stages are replaced.
METHODS: dict[str, dict[str, Any]] = {
    "lsq": {"weights": "lsq"},
    "post": {"weights": "post"},
    "pot": {"weights": "pot"},
    "asq": {"weights": "lsq", "activations": "asq"},
    "post+asq": {"weights": "post", "activations": "asq"},
    "lsq+bwrf": {"weights": "lsq", "bwrf": BwrfConfig()},
    "apot": {"weights": "apot"},
    "post+asq+bwrf": {"weights": "post", "activations": "asq", "bwrf": BwrfConfig()},
}


def make_config(method: str, bits: int, seed: int, epochs: int, data_dir: str, init: str) -> TrainConfig:
    """Return a run of the ablation: the preset for quantized CIFAR-10 networks, but for what is asked."""
    study = f"cifar10_{epochs}_epochs"
    given = {"study": study, "bits": bits, "seed": seed, "epochs": epochs, "data_dir": data_dir, "init": init}
    return replace(PRESETS["cifar10"][1], **given, **METHODS[method])


def main() -> None:
    """Train what is not finished."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--init", required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/cifar10"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--bits", default="4,3")
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    for bits in map(int, options.bits.split(",")):
        for seed in map(int, options.seeds.split(",")):
            for method in options.methods.split(","):
                config = make_config(method, bits, seed, options.epochs, options.data_dir, options.init)
                record = run_design(config, options.out / config.study / config.run_id)
                print(config.run_id, record["accuracy"], record["volatile"]["wall_s"], flush=True)


if __name__ == "__main__":
    main()
