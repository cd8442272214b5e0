"""Small run records for the tests of reports."""

import json
from pathlib import Path
from typing import Any

INTEGER = {2: (0.90, 0.92, 0.94), 4: (0.97, 0.98, 0.975)}
DESIGNS = (("float", 0), ("uniform", 2), ("uniform", 4), ("pot", 4), ("post", 4))


def cost_rows(bits: int, seed: int) -> list[dict[str, Any]]:
    """Two layers of 100 and 20 parameters; each seed reads the first layer's table for 10 products more."""
    quantities = {
        "parameters": ((100, 20), "1", "weights"),
        "storage_bits": ((100 * bits, 20 * 8), "bit", "codes"),
        "macs": ((6400, 20), "1", "products"),
        "bops": ((6400 * bits**2, 20 * 64), "1", "products"),
        "table_read": ((50 + 10 * seed, 0), "1", "products"),
    }
    return [
        {"layer": layer, "part": part, "quantity": name, "value": value, "unit": unit, "convention": "", "source": ""}
        for name, (values, unit, part) in quantities.items()
        for layer, value in zip(("conv1", "fc"), values, strict=True)
    ]


def record(family: str, bits: int, seed: int) -> dict[str, Any]:
    design = "float" if family == "float" else f"{family}-w{bits}a{bits}"
    config = {"data": "digits", "model": "digits_resnet", "weights": family, "bits": bits, "act_bits": bits}
    accuracy = {"float": 0.97 + 0.005 * seed}
    if family != "float":
        accuracy |= {"qat": 0.96, "integer": INTEGER[bits][seed], "agreement": 0.99}
    return {
        "schema": 1,
        "run_id": f"digits-digits_resnet-{design}-s{seed}",
        "study": "demo",
        "config": config,
        "seed": seed,
        "accuracy": accuracy,
        **({} if family == "float" else {"cost": cost_rows(bits, seed)}),
    }


def save(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / str(content["run_id"]) / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return path
