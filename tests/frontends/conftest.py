"""Lets the tests of this folder share `comparing`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    torch.manual_seed(0)
