"""What is said of the cost of a training."""

from __future__ import annotations

import pytest
import torch

from hkd.experiment.train import costs
from hkd.training.checkpoint import Progress


@pytest.mark.parametrize(
    ("device", "processes", "counted", "cpu", "gpu"),
    [
        ("cpu", 1, 396.751, 396.8, None),
        ("cpu", 1, None, None, None),
        ("cuda:0", 1, 396.751, None, 2563.8),
        ("cuda:0", 8, None, None, 20510.2),
    ],
)
def test_a_training_costs_processor_time_on_cpus_and_the_clock_on_gpus(device, processes, counted, cpu, gpu):
    progress = Progress(seconds=2563.77, cpu_seconds=counted)
    found = costs(progress, torch.device(device), processes)
    assert found == {"train_cpu_seconds": cpu, "train_gpu_seconds": gpu}
