"""`match` statements as chains of `if`s, whose tests symbolic values can answer."""

from __future__ import annotations

import ast
import copy


def match_to_ifs(node: ast.Match, name: str, subject: ast.expr, staging: str) -> list[ast.stmt]:
    """`name = subject` (as it is given), then one `if` in plain Python for all cases.

    `staging` is the name of the staging functions; `staging.positional(class, i)` gives what a positional sub-pattern is for,
    `staging.between(value, before, behind)` what a star is for.
    """
    made: list[ast.stmt] = []
    for case in reversed(node.cases):
        made = _Case(name, staging).statement(case, made)
    first = ast.Assign([ast.Name(name, ast.Store())], subject)
    return [ast.copy_location(ast.fix_missing_locations(ast.copy_location(s, node)), node) for s in (first, *made)]


class _Case:
    def __init__(self, subject: str, staging: str) -> None:
        self.subject, self.staging = ast.Name(subject, ast.Load()), staging

    def statement(self, case: ast.match_case, otherwise: list[ast.stmt]) -> list[ast.stmt]:
        test = self.test(case.pattern, self.subject)
        if case.guard is not None:
            test = case.guard if test is None else _both([test, case.guard])
        if test is None:
            return case.body
        return [ast.copy_location(ast.If(test, case.body, otherwise), case.pattern)]

    def test(self, pattern: ast.pattern, value: ast.expr) -> ast.expr | None:
        """The condition under which the pattern fits, names bound on the way; None: always."""
        parts = self.parts(pattern, value)
        return None if not parts else ast.copy_location(_both([copy.deepcopy(p) for p in parts]), pattern)

    def parts(self, pattern: ast.pattern, value: ast.expr) -> list[ast.expr]:
        tests: list[ast.expr]
        match pattern:
            case ast.MatchValue(value=wanted):
                return [ast.Compare(value, [ast.Eq()], [wanted])]
            case ast.MatchSingleton(value=wanted):
                return [ast.Compare(value, [ast.Is()], [ast.Constant(wanted)])]
            case ast.MatchAs(pattern=inner, name=name):
                bound = [] if name is None else [_bind(name, value)]
                return (self.parts(inner, value) if inner is not None else []) + bound
            case ast.MatchOr(patterns=patterns):
                choices = [self.test(p, value) for p in patterns]
                return [ast.BoolOp(ast.Or(), [t for t in choices if t is not None])] if all(choices) else []
            case ast.MatchClass():
                return self.of_class(pattern, value)
            case ast.MatchSequence(patterns=patterns):
                return self.of_sequence(patterns, value)
            case ast.MatchMapping(keys=keys, patterns=patterns, rest=None):
                tests = [ast.Call(ast.Name("isinstance", ast.Load()), [value, ast.Name("dict", ast.Load())], [])]
                for key, p in zip(keys, patterns, strict=True):
                    tests.append(ast.Compare(key, [ast.In()], [value]))
                    tests += self.parts(p, ast.Subscript(value, key, ast.Load()))
                return tests
        return [ast.Call(self.staged("unsupported"), [ast.Constant("a pattern with two stars")], [])]

    def of_sequence(self, patterns: list[ast.pattern], value: ast.expr) -> list[ast.expr]:
        star = next((n for n, p in enumerate(patterns) if isinstance(p, ast.MatchStar)), None)
        fixed = len(patterns) if star is None else len(patterns) - 1
        length = ast.Call(ast.Name("len", ast.Load()), [value], [])
        kinds = ast.Tuple([ast.Name("tuple", ast.Load()), ast.Name("list", ast.Load())], ast.Load())
        tests: list[ast.expr] = [
            ast.Call(ast.Name("isinstance", ast.Load()), [value, kinds], []),
            ast.Compare(length, [ast.Eq() if star is None else ast.GtE()], [ast.Constant(fixed)]),
        ]
        for i, p in enumerate(patterns):
            if isinstance(p, ast.MatchStar):
                bounds: list[ast.expr] = [value, ast.Constant(i), ast.Constant(fixed - i)]
                tests += [] if p.name is None else [_bind(p.name, ast.Call(self.staged("between"), bounds, []))]
            else:
                key = i if star is None or i < star else i - len(patterns)
                tests += self.parts(p, ast.Subscript(value, ast.Constant(key), ast.Load()))
        return tests

    def staged(self, name: str) -> ast.expr:
        return ast.Attribute(ast.Name(self.staging, ast.Load()), name, ast.Load())

    def of_class(self, pattern: ast.MatchClass, value: ast.expr) -> list[ast.expr]:
        tests: list[ast.expr] = [ast.Call(ast.Name("isinstance", ast.Load()), [value, pattern.cls], [])]
        for i, p in enumerate(pattern.patterns):
            tests += self.parts(p, ast.Call(self.staged("positional"), [value, pattern.cls, ast.Constant(i)], []))
        for name, p in zip(pattern.kwd_attrs, pattern.kwd_patterns, strict=True):
            tests += self.parts(p, ast.Attribute(value, name, ast.Load()))
        return tests


def _both(parts: list[ast.expr]) -> ast.expr:
    return parts[0] if len(parts) == 1 else ast.BoolOp(ast.And(), parts)


def _bind(name: str, value: ast.expr) -> ast.expr:
    """`[name := value]`, which is true whatever the value is."""
    return ast.List([ast.NamedExpr(ast.Name(name, ast.Store()), value)], ast.Load())
