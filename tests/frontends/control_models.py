"""Modules whose course depends on what they compute, as their authors write them. All take a tensor [3, 4]."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Early(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> Any:
        h = self.a(x)
        if h.sum() > 0:
            return h
        h = self.b(h)
        if h.mean() > 0.1:
            return h * 2
        return h - 1


class Join(Early):
    def forward(self, x: torch.Tensor) -> Any:
        h = self.a(x)
        s = h.sum().item()
        if s > 0:
            y = h * 2
            n = 3
        elif s < -1:
            y = self.b(h)
            n = 4
        else:
            y = h
            n = 5
        return y + n, n, s


class Count(Early):
    def forward(self, x: torch.Tensor) -> Any:
        i = 0
        while x.abs().sum() > 0.5:
            x = x * 0.5
            i += 1
        return x, i


class Breaks(Early):
    def forward(self, x: torch.Tensor) -> Any:
        total = 0.0
        i = -1
        for i in range(20):  # noqa: B007
            x = self.a(x)
            if x.sum() > 0.3:
                break
            if x[0, 0] < 0:
                continue
            total += x.max().item()
        else:
            total = -1.0
        return x, total, i


class Inner(Early):
    def forward(self, x: torch.Tensor) -> Any:
        for k in range(3):
            if x.sum() > k:
                x = self.a(x)
                if x.mean() > 0:
                    return x
            x = x + 1
        while True:
            x = x - 1
            if x.sum() < 0:
                break
        return x


class InPlace(Early):
    def forward(self, x: torch.Tensor) -> Any:
        y = x.clone()
        if x.sum() > 0:
            y[0] += 1
            y.mul_(2)
        z = y + 1
        while y.sum() < 30:
            y += 3
        return y, z


class Bool(Early):
    def forward(self, x: torch.Tensor) -> Any:
        ok = (x.sum() > 0 and x[0, 0] > 0) or not x.max() < 1
        y = x * 2 if ok else x - 1
        if 0 < x.sum() < 3:
            y = y + 1
        assert x.sum() < 1000, f"too large {x.sum()}"
        return y


class Nones(Early):
    def forward(self, x: torch.Tensor) -> Any:
        state = None
        for t in range(x.shape[0]):
            r = x[t]
            if r.sum() > 0:
                if state is None:
                    state = r
                else:
                    state = state + r
        if state is None:
            return x[0]
        return state


class Index(Early):
    def forward(self, x: torch.Tensor) -> Any:
        i = x[0].argmax()
        j = int(x.argmax().item()) % 4
        r = x[i % 3] + x[:, j].sum() + x[0, j]
        return r, j


class Decode(Early):
    def forward(self, x: torch.Tensor) -> Any:
        outs = torch.zeros(1, dtype=torch.int64)
        h = x[0]
        steps = 0
        while steps < 12:
            h = torch.tanh(self.a(h))
            tok = h.argmax().unsqueeze(0)
            outs = torch.cat([outs, tok])
            if tok.item() == 2:
                break
            steps += 1
        return outs, steps


class Grow(Early):
    def forward(self, x: torch.Tensor) -> Any:
        outs: list[Any] = []
        h = x[0]
        while h.abs().sum() > 0.2 and len(outs) < 20:
            h = torch.tanh(self.a(h)) * 0.7
            outs.append(h)
        if not outs:
            return x, 0
        return torch.stack(outs), len(outs)


class Grow2(Early):
    def forward(self, x: torch.Tensor) -> Any:
        outs = [x[0].argmax()]
        h = x[0]
        for _ in range(15):
            h = torch.tanh(self.a(h))
            t = h.argmax()
            outs.append(t)
            if t == 2:
                break
        last = outs[-1]
        total: Any = 0
        for o in outs:
            total = total + o
        return torch.stack(outs), last, total, len(outs)


class Stack(Early):
    def forward(self, x: torch.Tensor) -> Any:
        stack: list[Any] = []
        i = 0
        r = x[0] * 0
        while i < 12:
            v = (x[i % 3, i % 4]).item()
            if v > 0 or len(stack) == 0:
                stack.append(x[i % 3])
            else:
                r = r + stack.pop()
            i += 1
        for s in stack:
            r = r + s
        return r, len(stack)


class Small(Early):
    def forward(self, x: torch.Tensor) -> Any:
        outs: list[Any] = []
        for i in range(3):
            if x[i].sum() > 0:
                outs.append(x[i])
        if len(outs) > 0:
            return torch.stack(outs).sum(0)
        return x[0] * 0


class Comp(Early):
    def forward(self, x: torch.Tensor) -> Any:
        pos = [r for r in x if r.sum() > 0]
        n = len(pos)
        vals = [v.item() for v in x[0] if v > 0]
        s = sum(vals)
        m = max([v.item() for v in x[1]])
        return n, s, m


class Bind(Early):
    def forward(self, x: torch.Tensor) -> Any:
        outs: list[Any] = []
        k = int(x.abs().sum().item()) % 5
        for i in range(k):
            outs = outs + [x[i % 3] * i]  # noqa: RUF005
        outs = [*outs, x[0]]
        c = torch.cat(outs)
        return c.sum(), x[:k], len(outs)


class Obj:
    def __init__(self, h: torch.Tensor) -> None:
        self.h = h
        self.n = 0


class State(Early):
    def forward(self, x: torch.Tensor) -> Any:
        s = Obj(x[0])
        d: dict[str, Any] = {"h": x[1], "n": 0}
        while s.h.sum() < 5:
            s.h = s.h + 1
            s.n += 1
            d["h"] = d["h"] * 2
            if s.n > 2:
                d["n"] += 1
        self.last = s.h
        return s.h, s.n, d["h"], d["n"]


class Try(Early):
    def forward(self, x: torch.Tensor) -> Any:
        try:
            v = {"a": 1}["b"]
        except KeyError:
            v = 2
        if x.sum() > 0:
            if x.max() > 100:
                raise ValueError("big")
            v = v + 1
        return x + v


class Mod(Early):
    def __init__(self) -> None:
        super().__init__()
        self.list = nn.ModuleList([nn.Linear(4, 4) for _ in range(5)])
        self.seq = nn.Sequential(Early(), nn.ReLU())

    def forward(self, x: torch.Tensor) -> Any:
        i = int(x[0].argmax().item())
        x = self.list[i](x)
        name = "list"
        x = getattr(self, name)[i](x)
        x = self.seq(x)
        op = torch.tanh if x.sum() > 0 else torch.relu
        return op(x)


class Shapes(Early):
    def forward(self, x: torch.Tensor) -> Any:
        if x.sum() > 0:
            y = x[:, :2]
        else:
            y = x.t()
        t = (y, 1) if x.max() > 1 else (y * 2, 2)
        a, b = t
        return a.sum(), b, a.mean(0).max()


class Opt(Early):
    def forward(self, x: torch.Tensor) -> Any:
        outs: list[Any] = []
        ids: list[Any] = []
        h = x[0]
        best = None
        while h.abs().sum() > 0.2 and len(outs) < 20:
            h = torch.tanh(self.a(h)) * 0.7
            if h[0] > 0:
                outs.append(h)
                ids.append(h.argmax().item())
            if h.sum() > 0:
                best = h
        return outs, best, {"n": len(outs), "ids": ids}


class NoneR(Early):
    def forward(self, x: torch.Tensor) -> Any:
        if x.sum() > 0:
            return x, 1
        if x.sum() < -3:
            return None
        return x[0]


class Alias(Early):
    def forward(self, x: torch.Tensor) -> Any:
        y = x.clone()
        z = y
        i = 0
        while y.sum() < 30:
            y += 3
            i += 1
        return y, z, i


class Alias2(Early):
    def forward(self, x: torch.Tensor) -> Any:
        y = x.clone()
        w = x * 2
        r = w if x.sum() > 0 else y
        r += 1
        r[0] *= 2
        return r, y, w


class Continues(Early):
    def forward(self, x: torch.Tensor) -> Any:
        n = 0
        while n < 4:
            n += 1
            x = torch.tanh(-x)
            if x.sum() >= 0.1:
                continue
            x = x + 0.5
        return x, n


class Places(Early):
    """Where a computed value stands in a list."""

    def forward(self, x):
        sums = [row.sum().item() for row in x]
        place = sums.index(max(sums))
        if x[0, 0] > 0:
            place += [2, 1, 0].index(place)
        return x[place % 3], place, [1, place].index(place)
