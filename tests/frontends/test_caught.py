"""Exceptions that are raised where only the call decides it, and caught in the same function."""

from __future__ import annotations

import pytest
import torch
from comparing import call, compare
from torch import Tensor, nn

from bough.base.errors import CompileError
from bough.frontends.staging import export_module
from bough.ir.interpret_program import CheckFailed


class Several(nn.Module):
    """Several kinds, one by a loop, one that is raised again, one that nobody catches; what was written before stays."""

    def forward(self, x: Tensor) -> Tensor:
        y = x
        try:
            if x.sum() > 0:
                raise ValueError("positive")
            y = x * 2
            for i in range(3):
                y = y + 1
                if y[0] > 1:
                    raise KeyError(i)
            if x[1] < -1:
                raise RuntimeError("small")
        except ValueError as error:
            y = y - len(str(error))
        except (KeyError, IndexError):
            if y[1] > 0:
                raise
            return y * 100
        return y + 0.5


class Nested(nn.Module):
    """A `try` in another one in a loop, which a handler leaves."""

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        n = 0
        while True:
            try:
                try:
                    if x.sum() > 3:
                        raise StopIteration
                    x = x.abs() + 1
                    if n > 2:
                        raise ValueError
                except ValueError:
                    x = x + 10
                    if x.max() > 30:
                        raise StopIteration from None
                n += 1
            except StopIteration:
                break
        return x, n


class Known(nn.Module):
    """Exceptions that Python itself raises while the model is traced."""

    def forward(self, x: Tensor) -> Tensor:
        table = {"a": 1.0}
        try:
            x = x * table["b"]
            if x.sum() > 100:
                raise ValueError
        except KeyError:
            x = x + 1
        except ValueError:
            x = x - 1
        return x


class Finally(nn.Module):
    """`finally` runs on every way, in a loop that handlers and an `else` leave."""

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        n = 0
        while n < 6:
            try:
                if x.sum() > 2:
                    raise ValueError("large")
                x = x + 0.5
                if x[0] < -1:
                    continue
            except ValueError:
                x = x - 4
                if x[1] < -4:
                    return x, -n
            else:
                if x[2] > 1:
                    break
                x = x * 1.5
            finally:
                n += 1
                x = x + 0.125
        return x, n


class Else(nn.Module):
    """What an `else` raises is not for the handlers before it, and a handler does not lead to it."""

    def forward(self, x: Tensor) -> Tensor:
        y = x
        try:
            try:
                if x.sum() > 1:
                    raise ValueError("a")
                y = y + 1
            except ValueError:
                y = y * 2
            else:
                if x[0] > 0:
                    raise ValueError("a")
                y = y - 3
        except ValueError:
            y = y * 100
        return y


class Uncaught(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        try:
            if x.sum() > 0:
                raise ValueError("positive")
        except KeyError:
            return x
        return x + 1


@pytest.mark.parametrize("model", [Several, Nested, Known, Finally, Else, Uncaught])
def test_like_eager(model: type[nn.Module]) -> None:
    module = model()
    imported = export_module(module, (torch.randn(3),))
    for seed in range(20):
        x = torch.randn(3, generator=torch.Generator().manual_seed(seed)) * 2
        try:
            wanted = module(x)
        except Exception as error:
            with pytest.raises(CheckFailed) as raised:
                call(imported, x)
            assert raised.value.error == type(error).__name__
        else:
            compare(call(imported, x), wanted)


class Holding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        try:
            if x.sum() > 0:
                raise ValueError(x * 2)
        except ValueError as error:
            return error.args[0]  # type: ignore[no-any-return]
        return x


class Sometimes(nn.Module):
    """Python itself raises it, on one way."""

    def forward(self, x: Tensor) -> Tensor:
        table = {"a": 1.0}
        try:
            if x.sum() > 0:
                raise ValueError
            x = x * table["b"]
        except (KeyError, ValueError):
            x = x + 1
        return x


@pytest.mark.parametrize("model", [Holding, Sometimes])
def test_what_is_refused(model: type[nn.Module]) -> None:
    with pytest.raises(CompileError) as raised:
        export_module(model(), (torch.randn(3),))
    assert raised.value.code == "BGH-CTRL-001"
    assert raised.value.location is not None and raised.value.location.function == "forward"
