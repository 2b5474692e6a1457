"""Two small networks on scikit-learn's handwritten digits.

A GRU reads the rows of an image as a sequence; a convolutional network sees the image whole. Both are compiled once,
for every batch size.
"""

from __future__ import annotations

import copy
import time

import torch
from comparing import largest, latencies, table, torch_threads
from rich.console import Console
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import bough

BATCHES = (1, 8, 64, 360)
TEST_IMAGES = 360


class RowReader(nn.Module):
    """A GRU over the eight rows of an image, and a linear classifier on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(input_size=8, hidden_size=64, batch_first=True)
        self.classify = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.gru(images)
        return self.classify(states[:, -1])


class ImageReader(nn.Module):
    """Two convolutions with pooling, and a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, padding=1)
        self.classify = nn.Linear(32 * 2 * 2, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = images.unsqueeze(1)
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return self.classify(x.flatten(1))


def images_and_labels() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images in 0..1 and labels: for training, then held back."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32) / 16
    labels = torch.tensor(data.target)
    order = torch.randperm(len(images))
    images, labels = images[order], labels[order]
    return images[:-TEST_IMAGES], labels[:-TEST_IMAGES], images[-TEST_IMAGES:], labels[-TEST_IMAGES:]


def train(module: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> nn.Module:
    optimizer = torch.optim.Adam(module.parameters(), lr=4e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(module(images[batch]), labels[batch]).backward()
            optimizer.step()
    return module.eval()


@torch.no_grad()
def run(console: Console, seconds: float) -> int:
    """Predictions that differ from PyTorch's. `seconds` is how long each row of the latency table is measured."""
    torch.manual_seed(7)
    images, labels, test_images, test_labels = images_and_labels()
    answers = table("network", "accuracy", "different predictions", "Bough's error", "PyTorch's error")
    times = table("network", "batch", "PyTorch, ms", "Bough, ms", "times as fast")
    different = 0
    for module, epochs in ((RowReader(), 12), (ImageReader(), 8)):
        name = type(module).__name__
        begin = time.perf_counter()
        with torch.enable_grad(), torch_threads(1):  # the quickest for networks of this size
            train(module, images, labels, epochs)
        trained = time.perf_counter()
        compiled = bough.compile(module, (test_images,), dynamic={"images": {0: "batch"}})
        built = time.perf_counter()
        console.print(f"{name}: trained in {trained - begin:.1f} s, compiled in {built - trained:.2f} s")

        eager, mine = module(test_images), compiled(test_images)
        exact = copy.deepcopy(module).double()(test_images.double())
        wrong = int((eager.argmax(1) != mine.argmax(1)).sum())
        different += wrong
        accuracy = float((mine.argmax(1) == test_labels).float().mean())
        answers.add_row(
            name, f"{accuracy:.1%}", f"{wrong} of {TEST_IMAGES}", f"{largest(mine, exact):.1e}",
            f"{largest(eager, exact):.1e}",
        )  # fmt: skip
        for batch in BATCHES:
            x = test_images[:batch].contiguous()
            taken = latencies({"PyTorch": lambda: module(x)}, lambda: compiled(x), seconds)  # noqa: B023
            times.add_row(
                name, str(batch), f"{taken['PyTorch']:.3f}", f"{taken['Bough']:.3f}",
                f"{taken['PyTorch'] / taken['Bough']:.1f}",
            )  # fmt: skip
    console.print()
    console.print("On the held-back images (errors: the largest, against the same network in float64)")
    console.print(answers)
    console.print()
    console.print(
        f"Latency of a call: medians of calls taken in turns. PyTorch is on one thread or {torch.get_num_threads()}, "
        f"whichever is faster."
    )
    console.print(times)
    return different
