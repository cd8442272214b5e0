"""Metrics for TensorBoard, where it is installed."""

from collections.abc import Mapping
from pathlib import Path

from hwsim.extras import install_command, is_installed


def check_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises:
        ValueError: it is not.
    """
    if not is_installed("tensorboard"):
        raise ValueError(f"the package tensorboard is not installed: {install_command('tensorboard')}")


class TensorBoard:
    """Writes each epoch's metrics into a folder of events; a progress, as `trainers.progress` has it."""

    def __init__(self, folder: Path, epoch: int) -> None:
        """Begin with an epoch; what an earlier attempt wrote of it and later ones no longer counts."""
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=epoch)

    def step(self, done: float, is_saved: bool) -> None:
        """Do nothing."""

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Write a finished epoch's metrics."""
        for name in metrics.keys() - {"epoch"}:
            self.writer.add_scalar(name, metrics[name], epoch)
        self.writer.flush()
