"""A network that stops as soon as it is sure, on scikit-learn's handwritten digits; compiled, and exported for a program in C.

Its way through depends on what it computes: an image that the first classifier is sure of costs a third of the work.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from comparing import largest, latencies, table, torch_threads
from digits import TEST_IMAGES, images_and_labels
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

import bough

SURE = 0.9
EPOCHS = 6
NAMES = ("first", "second", "last")


class Stage(nn.Sequential):
    """Two convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU()
        )


class EarlyReader(nn.Module):
    """Three stages, a classifier behind each. Answers with the first that is sure, and says which one it was."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Stage(1, 24, 1), Stage(24, 48, 2), Stage(48, 96, 2)])
        self.classifiers = nn.ModuleList(nn.Linear(channels, 10) for channels in (24, 48, 96))

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        x = image.reshape(1, 1, 8, 8)
        number = 0
        for stage, classify in zip(self.stages, self.classifiers):
            x = stage(x)
            scores = classify(x.amax(dim=(2, 3)))
            if F.softmax(scores, dim=1).max() > SURE:
                break
            number += 1
        return scores[0], min(number, 2)

    def train_on(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of all classifiers together."""
        x = images.unsqueeze(1)
        loss = torch.zeros(())
        for stage, classify in zip(self.stages, self.classifiers):
            x = stage(x)
            loss = loss + F.cross_entropy(classify(x.amax(dim=(2, 3))), labels)
        return loss


def train(module: EarlyReader, images: Tensor, labels: Tensor) -> None:
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            module.train_on(images[batch], labels[batch]).backward()
            optimizer.step()


@torch.no_grad()
def run(console: Console, seconds: float) -> int:
    """Answers that differ from PyTorch's, among them the exported program's. `seconds`: how long each latency is measured."""
    torch.manual_seed(7)
    images, labels, test_images, test_labels = images_and_labels()
    module = EarlyReader().eval()
    begin = time.perf_counter()
    with torch.enable_grad(), torch_threads(1):  # the quickest for networks of this size
        train(module, images, labels)
    trained = time.perf_counter()
    compiled = bough.compile(module, (test_images[0],))
    built = time.perf_counter()
    console.print(f"EarlyReader: trained in {trained - begin:.1f} s, compiled in {built - trained:.2f} s")

    eager, mine = [module(x) for x in test_images], [compiled(x) for x in test_images]
    exits = torch.tensor([int(number) for _, number in eager])
    other_exit = sum(int(a[1]) != int(b[1]) for a, b in zip(eager, mine))
    other_answer = sum(int(a[0].argmax() != b[0].argmax()) for a, b in zip(eager, mine))
    error = max(largest(a[0], b[0]) for a, b in zip(eager, mine))
    console.print(
        f"\nOn the held-back images: {other_answer} of {TEST_IMAGES} predictions differ, {other_exit} of {TEST_IMAGES} exits; "
        f"largest difference {error:.1e}"
    )
    right = torch.tensor([int(y.argmax()) for y, _ in mine]) == test_labels
    times = table("exit", "images", "accuracy", "PyTorch, ms", "Bough, ms", "times as fast")
    for number in exits.unique().tolist():
        here = exits == number
        x = test_images[here][0].contiguous()
        taken = latencies({"PyTorch": lambda: module(x)}, lambda: compiled(x), seconds)  # noqa: B023
        times.add_row(
            NAMES[number], f"{here.double().mean():.0%}", f"{right[here].double().mean():.1%}", f"{taken['PyTorch']:.3f}",
            f"{taken['Bough']:.3f}", f"{taken['PyTorch'] / taken['Bough']:.1f}",
        )  # fmt: skip
    console.print(times)
    chosen = [int((exits == number).nonzero()[0]) for number in exits.unique().tolist()]
    return other_exit + other_answer + export(console, compiled, test_images[chosen])


def export(console: Console, compiled: bough.Compiled, images: Tensor) -> int:
    """Writes a library and a program in C, builds the program, and counts the images for which it prints other numbers."""
    with tempfile.TemporaryDirectory(prefix="bough-demo-") as made:
        folder = Path(made)
        compiled.export(folder, name="early")
        options = ["-I.", "-L.", "-learly", "-Wl,-rpath,$ORIGIN"]
        subprocess.run(["cc", "-o", "sample", "early_sample.c", *options], cwd=folder, check=True)
        different = 0
        for image in images:
            image.numpy().tofile(folder / "image.bin")
            different += printed(folder) != expected(compiled(image))
        libraries = subprocess.run(["ldd", "libearly.so"], cwd=folder, capture_output=True, text=True, check=True).stdout
    needed = sorted(line.split()[0] for line in libraries.splitlines() if "=>" in line)
    console.print(
        f"\nExported as a library, which needs {' and '.join(needed)} only, and a program in C, which cc has built: "
        f"{different} of {len(images)} images, one of each exit, give other numbers there."
    )
    return different


def printed(folder: Path) -> list[float]:
    """What the program prints for image.bin: the scores, then the exit."""
    command = ["./sample", "-w", "early.safetensors", "image.bin"]
    text = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    return [float(np.float32(line)) for line in text.splitlines() if not line.startswith("#")]


def expected(output: tuple[Tensor, int]) -> list[float]:
    scores, number = output
    return [*scores.tolist(), float(number)]
