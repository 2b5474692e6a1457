"""What programs are made of, as templates.

`<vec>` stands for any expression of the type `vec`, `<vec:bounded>` for one whose values stay small however often it is assigned,
`<vec:var>` for a variable, `<vec:target>` for one that may be assigned, `<vec:same>` for the variable of this type chosen before it in the
template. `<const>` is a number between -1 and 1, `<op>` one of + - *, `<cmp>` a comparison, `<3>` a number from 0 to 2.
"""

from __future__ import annotations

from typing import NamedTuple


class Way(NamedTuple):
    """A template, the feature that it belongs to, and how often it is taken."""

    text: str
    feature: str = ""
    weight: float = 1


def ways(feature: str, *texts: str, weight: float = 1) -> list[Way]:
    return [Way(t, feature, weight) for t in texts]


LEAVES: dict[str, list[Way]] = {
    "int": [*ways("", "<4>", "self.depth", "int(<element> * 3)", "<vec:var>.argmax().item()")],
    "float": [*ways("", "<const>", "self.limit"), Way("<element>.item()", weight=3)],
    "bool": [Way("bool(<element> <cmp> <const>)", weight=2), Way("self.flag", weight=0.5)],
    "num": [Way("<element>")],
    "vec": [*ways("", "torch.zeros(4)", "torch.ones(4)", weight=0.3), Way("self.kept", "attributes", 2)],
    "mat": [Way("torch.stack([<vec:var>, <vec:var>, <vec:var>])")],
    "grown": [Way("<mat:var>[:2]"), Way("<vec:var>[None]")],
    "mask": [Way("(<vec:var> > <const>)")],
    "index": [Way("<vec:var>.argmax()")],
    "tokens": [Way("<vec:var>.argmax().view(1)"), Way("torch.zeros(1, dtype=torch.int64)")],
    "filled": [Way("[<vec:var>]")],
    "items": [Way("[]"), Way("[<vec:var>]")],
    "values": [Way("[<element>]")],
    "counts": [Way("[]"), Way("[<int:var>]"), Way("[1]")],
    "maybe": [Way("None"), Way("<vec:var>")],
    "some": [Way("None"), Way("<int:var>")],
    "box": [Way("Box(<vec:var>, 1)")],
}
"""What needs no further expression but variables; `<element>` is an element of a vector variable."""

INNER: dict[str, list[Way]] = {
    "int": [
        *ways("", "int(<num> * 3)", "int(<vec>.argmax())", "<vec>.argmax().item()", "int((<vec> > <const>).sum())", "(<int> <op> <int>)",
              "(<int> // 2)", "(<int> // -3)", "(<int> % 3)", "(<int> % -4)", "min(<int>, <int>)", "max(<int>, <int>)", "abs(<int>)", "int(<bool>)",
              "int(<float>)", "(-<int>)", "round(<float>)", "(<bool> + <bool>)"),
        *ways("growth", "<grown:var>.shape[0]", "len(<grown:var>)", "<grown:var>.size(0)"),
        *ways("lists", "len(<items:var>)", "len(<filled:var>)"),
        *ways("numbers_listed", "len(<counts:var>)", "sum(<counts:var>)", "(<counts:var>[-1] if <counts:same> else <int>)"),
        *ways("index", "int(<index>)", "<index>.item()"),
        *ways("tokens", "<tokens:var>[-1].item()", "<tokens:var>.shape[0]", "int(<tokens:var>.sum())"),
        *ways("pairs", "<pair:var>[1]"),
        *ways("objects", "<box:var>.n"),
        *ways("optional", "(<some:var> if <some:same> is not None else <int>)"),
        *ways("masks", "int(<mask>.sum())"),
        *ways("faults", "(<int> // <int>)", "<counts:var>[<3>]"),
    ],
    "float": [
        *ways("", "<num>.item()", "float(<num>)", "(<float> <op> <float>)", "(<int> * <const>)", "(<int> / 2)", "min(<float>, <float>)",
              "max(<float>, <float>)", "abs(<float>)", "float(<int>)", "(-<float>)", "sum(<vec>.tolist())", "max(<vec>.tolist())"),
        *ways("pairs", "<trio:var>[0]"),
        *ways("faults", "(<float> / <int>)"),
    ],
    "bool": [
        *ways("", "(<float> <cmp> <const>)", "(<int> <cmp> <int>)", "(<int> == <int>)", "(<int> != <int>)", "bool(<num> <cmp> <const>)",
              "bool((<vec> > <const>).any())", "bool((<vec> > <const>).all())", "(<const> <cmp> <float> <cmp> <float>)", "(not <cond>)",
              "(<bool> and <bool>)", "(<bool> or <bool>)", "(<int> in (1, 3))", "(<int> not in (0, 2))", "bool(<int>)"),
        *ways("optional", "(<maybe:var> is None)", "(<maybe:var> is not None)", "(<some:var> is None)", weight=3),
        *ways("masks", "bool(<mask>.any())", "bool(<mask>[<int> % 4])"),
        *ways("pairs", "<trio:var>[2]"),
        *ways("comprehensions", "any(row[0] > <const> for row in <mat>)", "all([bool(row.sum() > <const>) for row in <mat:var>])"),
        *ways("numbers_listed", "(<int> in <counts:var>)"),
    ],
    "num": [
        *ways("", "<vec>.sum()", "<vec>.mean()", "<vec>.max()", "<mat>.sum()", "<mat>.mean()", "<vec>[<4>]", "torch.tensor(float(<float>))",
              "<vec>.norm()", "(<vec> @ <vec>)"),
        *ways("index", "<vec>[<int> % 4]", "<vec>[<index>]", "<mat>[<int> % 3, <int> % 4]", "<mat>[<int> % 3][<int> % 4]"),
        *ways("growth", "<grown:var>.sum()", "<grown:var>.mean()", "<grown:var>.max()"),
        *ways("lists", "<values:var>[-1]", "sum(<values:var>)", "torch.stack(<values:var>).mean()", "max(<values:var>)"),
        *ways("tables", '<table:var>["b"]'),
    ],
    "vec": [
        *ways("", "<mat>.sum(0)", "<mat>.mean(0)", "<mat>.max(0).values", "<mat>[<3>]", "<mat>[<vec>[:3].argmax()]", "torch.where(<vec> > <const>, <vec>, <vec>)"),
        *ways("", "self.first(<vec>)", "self.second(<vec>)", "torch.softmax(<vec>, -1)", weight=2),
        *ways("index", "<mat>[<int> % 3]", "<mat>[<index> % 3]"),
        *ways("faults", "<mat>[<int>]", "<items:var>[<3>]", "<filled:var>[<int>]"),
        *ways("growth", "<grown:var>.mean(0)", "<grown:var>.sum(0)", "<grown:var>.max(0).values", "<grown:var>[-1]", "<grown:var>[0]",
              "(torch.softmax(<grown:var> @ <vec>, 0) @ <grown:same>)", "<grown:var>[<int> % <grown:same>.shape[0]]"),
        *ways("lists", "<filled:var>[-1]", "<filled:var>[0]", "torch.stack(<filled:var>).mean(0)", "sum(<filled:var>)", "<filled:var>[<int> % len(<filled:same>)]",
              "(<items:var>[-1] if <items:same> else <vec>)", "(torch.stack(<items:var>).sum(0) if len(<items:same>) > 1 else <vec>)"),
        *ways("optional", "(<maybe:var> if <maybe:same> is not None else <vec>)", weight=2),
        *ways("tables", '<table:var>["a"]'),
        *ways("pairs", "<pair:var>[0]"),
        *ways("objects", "<box:var>.h"),
        *ways("masks", "torch.where(<mask>, <vec>, <vec>)", "<vec>.masked_fill(<mask>, <const>)", "(<vec> * <mask>)"),
        *ways("modules", "self.layers[<int> % 2](<vec>)", "self.layers[<2>](<vec>)", 'getattr(self, "first")(<vec>)', 'self.named["b"](<vec>)'),
        *ways("comprehensions", "sum([row * <const> for row in <mat>])", "torch.stack([t.tanh() for t in <filled:var>]).mean(0)"),
        *ways("tokens", "<mat>[<tokens:var> % 3].sum(0)"),
    ],
    "mat": [
        *ways("", "torch.stack([<vec>, <vec>, <vec>])", "(<mat> + <vec>)", "torch.cat([<mat>[1:], <vec>[None]])", "self.first(<mat>)", "torch.softmax(<mat>, -1)"),
        *ways("comprehensions", "torch.stack([self.first(row) if row[0] > <const> else row for row in <mat>])",
              "torch.stack([row * i if i % 2 else row for i, row in enumerate(<mat>)])"),
        *ways("pairs", "<trio:var>[1]"),
    ],
    "grown": [
        *ways("", "torch.cat([<grown:var>, <vec>[None]])", "torch.cat([<grown:var>[1:], <vec>[None]])", "self.first(<grown>)", "(<grown> * <vec>)", "torch.softmax(<grown>, 0)"),
        *ways("slices", "<mat>[:max(1, <int> % 4)]", "torch.zeros(<int> % 4 + 1, 4)", "<mat>[<int> % 3:]", "torch.cat([<mat>[:<int> % 4], <vec>[None]])"),
        *ways("lists", "torch.stack(<filled:var>)"),
        *ways("tokens", "<mat>[<tokens:var> % 3]"),
    ],
    "mask": [*ways("", "(<vec> > <const>)", "(~<mask>)", "(<mask> & <mask>)", "(<mask> | <mask>)", "(<vec> <= <vec>)", "torch.isfinite(<vec>)")],
    "index": [
        *ways("", "<vec>.argmax()", "<vec>.argmin()", "((<index> + <int>) % 4)", "torch.tensor(<int> % 4)", "(<mask>.sum() % 4)", "torch.where(<num> > <const>, <index>, <index>)"),
        *ways("tokens", "<tokens:var>[-1]", "<tokens:var>[0]"),
    ],
    "tokens": [
        *ways("", "torch.cat([<tokens:var>, <vec>.argmax().view(1)])", "torch.cat([<tokens:var>, <vec>.argmax()[None]])", "(<tokens> % 2)"),
        *ways("index", "torch.cat([<tokens:var>, <index>.reshape(1)], dim=0)"),
        *ways("numbers_listed", "torch.tensor([<int> % 4, <int> % 4])", "torch.tensor([*<counts:var>, 1]) % 4"),
    ],
    "filled": [*ways("", "[<vec>]", "[<vec>, <vec>]", "list(<filled:var>)", "<filled:var> + [<vec>]", "<items:var> + [<vec>]", "[*<filled:var>]"), *ways("comprehensions", "[row * <const> for row in <mat>]")],
    "items": [*ways("", "[<vec>]", "list(<items:var>)", "<items:var> + [<vec>]", "<filled:var>[1:]"), *ways("comprehensions", "[t for t in <mat> if t[0] > <const>]", "[t * 0.5 for t in <items:var>]")],
    "values": [*ways("", "[<num>]", "[<num>, <num>]", "list(<values:var>)"), *ways("comprehensions", "[row.sum() for row in <mat>]", "[t.mean() for t in <filled:var>]")],
    "counts": [*ways("", "[<int:bounded>]", "list(<counts:var>)", "<counts:var> + [<int:bounded>]")],
    "maybe": [*ways("", "<vec>", "None")],
    "some": [*ways("", "<int:bounded>", "None")],
    "table": [*ways("", '{"a": <vec>, "b": <num>}')],
    "pair": [*ways("", "(<vec>, <int:bounded>)")],
    "trio": [*ways("", "(<float:bounded>, <mat>, <bool>)")],
    "box": [*ways("", "Box(<vec>, <int:bounded>)")],
}
"""What has parts."""

for _kind in ("num", "vec", "mat", "grown"):
    _it = f"<{_kind}>"
    INNER[_kind] += ways(
        "", f"torch.tanh({_it})", f"torch.sigmoid({_it})", f"torch.relu({_it})", f"{_it}.abs()", f"torch.sin({_it})", f"(-{_it})",
        f"({_it} <op> <float>)", f"({_it} <op> <num>)", f"({_it} * <int>)",
    )  # fmt: skip
    if _kind != "grown":  # computed sizes are equal by chance only
        INNER[_kind] += ways("", f"({_it} <op> {_it})", f"torch.maximum({_it}, {_it})", weight=2)

CONDITIONS: list[Way] = [
    Way("<bool>", weight=2), Way("<int>"), Way("<num> <cmp> <const>", weight=2), Way("(<vec> > <const>).any()"), Way("<cond> and <cond>"), Way("<cond> or <cond>"),
    Way("not <cond>"), Way("<items:var>", "lists"), Way("<counts:var>", "numbers_listed"), Way("<mask>.any()", "masks"), Way("<index> == <3>", "index"),
]  # fmt: skip
"""What is asked: everything that has a truth value."""

STATEMENTS: list[Way] = [
    Way("<bound>", weight=5),
    Way("<int:target> += <int>; <int:same> %= 7"), Way("<int:target> -= <int>; <int:same> %= 5"), Way("<float:target> *= 0.5"),
    *ways("attributes", "self.kept = <vec:bounded>"),
    *ways("growth", "<grown:target> = torch.cat([<grown:same>, <vec:bounded>[None]])", "<grown:target> = torch.cat([<grown:same>, <vec:bounded>.unsqueeze(0)], dim=0)",
          "<grown:target> = torch.cat([<grown:same>[1:], <vec:bounded>[None]], 0)", "<grown:target> = <grown:same>[-2:]", weight=0.7),
    *ways("tokens", "<tokens:target> = torch.cat([<tokens:same>, <vec>.argmax().view(1)])"),
    *ways("lists", "<filled:target>.append(<vec:bounded>)", "<items:target>.append(<vec:bounded>)", "<values:target>.append(<num:bounded>)", weight=1.5),
    *ways("lists", "<filled:target>[-1] = <vec:bounded>", "<filled:target>[0] = <vec:bounded>", "<items:target> = <items:same> + [<vec:bounded>]",
          "<items:target> += [<vec:bounded>]", "<items:target>.extend([<vec:bounded>, <vec:bounded>])", weight=0.5),
    *ways("faults", "<vec:target> = <items:target>.pop()", weight=0.3),
    *ways("numbers_listed", "<counts:target>.append(<int:bounded>)", weight=1.5),
    *ways("tables", '<table:target>["a"] = <vec:bounded>', '<table:target>["b"] = <num:bounded>'),
    *ways("objects", "<box:target>.h = <vec:bounded>", "<box:target>.n = <int:bounded>", "<box:target>.n += 1"),
    *ways("unpacking", "<vec:target>, <float:target> = <vec:bounded>, <float:bounded>", "<int:target>, <vec:target> = <int:bounded>, <vec:bounded>",
          "<vec:target>, <vec:var> = <vec:bounded>, <vec:same>", "<vec:target>, <int:target> = <pair:var>", "<vec:target>, *_ = <mat>"),
    *ways("asserts", "assert <vec>.shape[0] == 4", "assert <num>.abs() < 10000", "assert <int> > -10000", weight=0.3),
    *ways("faults", "assert <float> > -1.9", 'assert <num> < 2, "too large"', weight=0.3),
    *ways("in_place", "<vec:var>.mul_(<const>)", "<vec:var> += <num:bounded>", "<mat:var>.clamp_(-2, 2)", "<num:var> *= <const>", "<vec:var>[<int> % 4] = <float:bounded>",
          "<vec:var>[<int> % 4] += <const>", "<vec:var>.copy_(<vec:bounded>)", "<vec:var>.add_(<vec:bounded>)", "<vec:var>[<int> % 4] = <num:bounded>",
          "<vec:var>[:2] *= <const>", "<mat:var>[<int> % 3] = <vec:bounded>", "<mat:var>[<int> % 3].mul_(<const>)", "<mat:var>[:, 1] = <const>",
          "<grown:var>[-1].mul_(<const>)", "<grown:var>[<int> % len(<grown:same>)] = <vec:bounded>", "<vec:var>.clamp_(-2, 2)", '<table:var>["b"] += <num:bounded>', weight=0.25),
]  # fmt: skip
"""Simple statements; `<bound>` assigns a variable of a random type, old or new."""
