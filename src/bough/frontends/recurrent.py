"""LSTM, GRU and plain recurrent layers as loops over time, the products with the input hoisted out of the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bough.frontends.builder import Builder
from bough.ir.program import Value

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


@dataclass(frozen=True, slots=True)
class Weights:
    """One layer in one direction: `input` [G*H, in], `hidden` [G*H, H or P], biases [G*H], `projection` [P, H]."""

    input: Value
    hidden: Value
    input_bias: Value | None
    hidden_bias: Value | None
    projection: Value | None = None


def recurrent(
    b: Builder, kind: str, x: Value, states: Sequence[Value], weights: Sequence[Weights], bidirectional: bool
) -> tuple[Value, tuple[Value, ...]]:
    """The whole stack: x [T, B, in], states [L*D, B, H] each (h, and c of an LSTM); weights by layer, then direction.

    Gives the outputs of the last layer [T, B, D*H] and the final states, in the layout of the states.
    """
    directions = 2 if bidirectional else 1
    finals: list[list[Value]] = [[] for _ in states]
    for layer in range(len(weights) // directions):
        outputs: list[Value] = []
        for direction in range(directions):
            number = layer * directions + direction
            start = [b.select(s, 0, number) for s in states]
            steps, last = _one_direction(b, kind, x, start, weights[number], reverse=direction == 1)
            outputs.append(steps)
            for collected, state in zip(finals, last, strict=True):
                collected.append(b.reshape(state, (1, *state.type.shape)))
        x = outputs[0] if directions == 1 else b.emit("concat", *outputs, axis=2)
    return x, tuple(f[0] if len(f) == 1 else b.emit("concat", *f, axis=0) for f in finals)


def _one_direction(
    b: Builder, kind: str, x: Value, start: Sequence[Value], w: Weights, *, reverse: bool
) -> tuple[Value, tuple[Value, ...]]:
    gates = b.emit("linear", x, w.input, w.input_bias)

    def step(t: Value, *states: Value) -> tuple[Sequence[Value], Sequence[Value]]:
        now = CELLS[kind](b, b.emit("take_at", gates, t, axis=0), states, w)
        return now, now[:1]

    final, (steps,) = b.loop(x.type.shape[0], start, step, reverse=reverse)
    return steps, final


def _chunks(b: Builder, gates: Value, count: int) -> list[Value]:
    width = gates.type.shape[-1]
    assert isinstance(width, int)
    size = width // count
    return [b.slice(gates, gates.type.rank - 1, i * size, (i + 1) * size) for i in range(count)]


def _lstm(b: Builder, gates: Value, states: Sequence[Value], w: Weights) -> tuple[Value, ...]:
    h, c = states
    i, f, g, o = _chunks(b, b.emit("add", gates, b.emit("linear", h, w.hidden, w.hidden_bias)), 4)
    kept = b.emit("mul", b.emit("sigmoid", f), c)
    c = b.emit("add", kept, b.emit("mul", b.emit("sigmoid", i), b.emit("tanh", g)))
    h = b.emit("mul", b.emit("sigmoid", o), b.emit("tanh", c))
    return (h if w.projection is None else b.emit("linear", h, w.projection, None)), c


def _gru(b: Builder, gates: Value, states: Sequence[Value], w: Weights) -> tuple[Value, ...]:
    (h,) = states
    xr, xz, xn = _chunks(b, gates, 3)
    hr, hz, hn = _chunks(b, b.emit("linear", h, w.hidden, w.hidden_bias), 3)
    r = b.emit("sigmoid", b.emit("add", xr, hr))
    z = b.emit("sigmoid", b.emit("add", xz, hz))
    n = b.emit("tanh", b.emit("add", xn, b.emit("mul", r, hn)))
    return (b.emit("add", n, b.emit("mul", z, b.emit("sub", h, n))),)


def _plain(activation: str) -> Callable[[Builder, Value, Sequence[Value], Weights], tuple[Value, ...]]:
    def cell(b: Builder, gates: Value, states: Sequence[Value], w: Weights) -> tuple[Value, ...]:
        return (b.emit(activation, b.emit("add", gates, b.emit("linear", states[0], w.hidden, w.hidden_bias))),)

    return cell


CELLS: dict[str, Callable[[Builder, Value, Sequence[Value], Weights], tuple[Value, ...]]] = {
    "lstm": _lstm, "gru": _gru, "rnn_tanh": _plain("tanh"), "rnn_relu": _plain("relu"),
}  # fmt: skip
