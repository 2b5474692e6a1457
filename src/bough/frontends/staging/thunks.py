"""Control flow as calls of staging functions: what a statement runs becomes inner functions, which may run both ways.

    if h.sum() > 0:               def then1__():
        return h                      nonlocal x
    x = h + 1              ->         return staging.Return(h)
    ...                           def rest2__():
                                      nonlocal x
                                      x = h + 1
                                      ...
                                  return staging.branch(h.sum() > 0, then1__, None, rest2__, live)

Inner functions return where control goes: None falls through, else a jump. `transform` rewrites what is left. Expressions whose
parts may not run (`and`, `or`, `... if ... else`, chained comparisons) pass their parts as lambdas.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bough.frontends.staging.liveness import INNER, note_live
from bough.frontends.staging.match_statements import match_to_ifs
from bough.frontends.staging.raises import catches, jumps, mark_raises, reraises, without_finally
from bough.frontends.staging.yields import as_statements, is_generator, is_yield, runs_inside

Placed = TypeVar("Placed", bound=ast.AST)
STAGING = "__staging__"
"""The name under which rewritten code finds the staging functions."""
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def lower_control(function: ast.FunctionDef) -> None:
    """Rewrites a function, and those defined in it, in place."""
    _Function(function).lower()


def is_made(name: str) -> bool:
    """Whether this is the name of an inner function made of statements."""
    return name.endswith("__") and not name.startswith("__") and name[:-2].rstrip("0123456789") in _KINDS


_KINDS = frozenset(("body", "then", "otherwise", "rest", "test", "turn", "operand", "orelse", "finalbody"))


class _Function:
    """One scope of local names."""

    def __init__(self, node: ast.FunctionDef) -> None:
        self.node = node
        self.shared: set[str] = set()
        """Local names that inner functions made here assign."""
        self.count = 0
        a = node.args
        first = [*a.posonlyargs, *a.args][:1]
        self.first = first[0].arg if first else None
        self.pending: list[ast.stmt] = []
        """Definitions that the statement being lowered needs before it."""
        self.outer = {n for s in declarations(node.body) for n in s.names}

    def lower(self) -> None:
        node = self.node
        generates = runs_inside(node)
        if generates:
            node.body = as_statements(node.body)
        elif is_generator(node):
            node.body = [_at(ast.Expr(staged("unsupported", [ast.Constant("yield")])), node.body[0])]
        node.body = without_finally(node.body)
        note_live(node)
        mark_raises(node.body)
        wrapped = generates or any(_escapes(s) for s in node.body if not isinstance(s, ast.Return))
        own, last, declared = assigned_names(node.body), node.body[-1], declarations(node.body)
        body = self.block(node.body)
        if wrapped:
            inner = self.thunk("body", own, body, last)
            run = _at(ast.Return(staged("generator" if generates else "function", [_name(inner.name)])), last)
            body = [inner, run]
        else:
            for s in body:
                if isinstance(s, ast.Return):  # an outcome is a plain value where there is no other
                    s.value = s.value.args[0]  # type: ignore[union-attr]
        names: list[ast.expr] = [ast.Name(n, ast.Store()) for n in sorted(self.shared - self.outer)]
        if names:  # never runs: says that they are names of this function
            bind = ast.Assign([ast.Tuple(names, ast.Store())], ast.Constant(None))
            body.insert(0, _at(ast.If(ast.Constant(False), [bind], []), node))
        for s in declared:
            s.staged = True  # type: ignore[attr-defined]
        node.body = body

    # -- statements ------------------------------------------------------------------------------------------------------

    def block(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The statements lowered; as a function's body they return the outcome."""
        made: list[ast.stmt] = []
        work = list(body)
        while work:
            node = work.pop(0)
            if isinstance(node, ast.Match):
                work = [*self.match(node), *work]
                continue
            escapes = _escapes(node)
            lowered = self.statement(node, work if escapes else None)
            made += [*self.take_pending(), *lowered]
            if escapes:
                break
        return made or [ast.Pass()]

    def take_pending(self) -> list[ast.stmt]:
        taken, self.pending = self.pending, []
        return taken

    def statement(self, node: ast.stmt, rest: list[ast.stmt] | None) -> list[ast.stmt]:
        """`rest`: what follows in the block, for a statement that may jump; it becomes part of the statement."""
        match node:
            case ast.If():
                return self.branch(node, rest)
            case ast.While():
                return self.repeat(node, rest)
            case ast.For():
                return self.each(node, rest)
            case ast.Return():
                value = self.expression(node.value) if node.value is not None else ast.Constant(None)
                return [_at(ast.Return(staged("Return", [value])), node)]
            case ast.Break() | ast.Continue():
                return [_at(ast.Return(staged_name(type(node).__name__.upper())), node)]
            case ast.Expr(value=ast.Yield(value=given)) if rest is not None:
                return self.yielded(node, given, rest)
            case ast.Assert():
                message: ast.expr = self.delayed(node.msg) if node.msg is not None else ast.Constant(None)
                return [_at(ast.Expr(staged("check", [self.test(node.test), message])), node)]
            case ast.Raise() if jumps(node):
                assert node.exc is not None
                return [_at(ast.Return(staged("jump", [self.delayed(node.exc)])), node)]
            case ast.Try() if catches(node) and rest is not None:
                return self.caught(node, rest)
            case ast.Try() | ast.TryStar() | ast.With():
                return self.guarded(node, rest)
            case ast.FunctionDef():
                node.decorator_list = [self.expression(d) for d in node.decorator_list]
                node.args.defaults = [self.expression(d) for d in node.args.defaults]
                self.inner(node)
                return [node]
            case ast.ClassDef():
                for method in methods_of(node):
                    self.inner(method)
                return [node]
            case ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith():
                return [node]
        return [self.expressions(node)]

    def inner(self, node: ast.FunctionDef) -> None:
        """A function inside this one."""
        inner = _Function(node)
        inner.count = self.count + 1000
        inner.lower()

    def branch(self, node: ast.If, rest: list[ast.stmt] | None) -> list[ast.stmt]:
        test = self.test(node.test)
        before = self.take_pending()
        then = self.defined("then", node.body, before)
        otherwise = self.defined("otherwise", node.orelse, before)
        args = [test, then, otherwise]
        live = _names(node.live)  # type: ignore[attr-defined]
        if rest is None:
            nowhere = [ast.Constant(None), *_targets(node)[1:]]
            return [*before, _at(ast.Expr(staged("branch", [*args, ast.Constant(None), live, *nowhere])), node)]
        args.append(self.defined("rest", rest, before))
        return [*before, _at(ast.Return(staged("branch", [*args, live, *_targets(node)])), node)]

    def yielded(self, node: ast.stmt, value: ast.expr | None, rest: list[ast.stmt]) -> list[ast.stmt]:
        given = ast.Constant(None) if value is None else self.expression(value)
        made = self.take_pending()
        after = self.defined("rest", rest, made)
        return [*made, _at(ast.Return(staged("then", [staged("yielded", [given]), after, *_targets(node)])), node)]

    def repeat(self, node: ast.While, rest: list[ast.stmt] | None) -> list[ast.stmt]:
        assigned = assigned_names([node.test])
        test = self.test(node.test)
        head_body = [*self.take_pending(), _at(ast.Return(test), node.test)]
        head = self.thunk("test", assigned, head_body, node.test)
        return self.looped("repeat", node, [head], [_name(head.name)], assigned_names(node.body), self.block(node.body), rest)

    def each(self, node: ast.For, rest: list[ast.stmt] | None) -> list[ast.stmt]:
        values = self.expression(node.iter)
        before = self.take_pending()
        element = _name("element__")
        assigned = assigned_names([node.target, *node.body])
        target = _at(ast.Assign([node.target], element), node)
        return self.looped("each", node, before, [values], assigned, [target, *self.block(node.body)], rest)

    def looped(
        self, what: str, node: Any, before: list[ast.stmt], args: list[ast.expr], assigned: set[str], body: list[ast.stmt],
        rest: list[ast.stmt] | None,
    ) -> list[ast.stmt]:  # fmt: skip
        turn = self.thunk("turn", assigned, body, node)
        if isinstance(node, ast.For):
            turn.args.args.append(ast.arg("element__"))
        made = [*before, turn]
        args += [_name(turn.name), self.defined("otherwise", node.orelse, made)]
        after = self.defined("rest", rest, made) if rest is not None else ast.Constant(None)
        args += [after, _names(node.live_head), _names(node.live), _leaves(node)]
        if rest is None:
            return [*made, _at(ast.Expr(staged(what, args)), node)]
        return [*made, _at(ast.Return(staged(what, [*args, *_targets(node)])), node)]

    def guarded(self, node: Any, rest: list[ast.stmt] | None) -> list[ast.stmt]:
        """`try` and `with` run as they are; where their bodies jump, the outcome is kept until they are left."""
        if isinstance(node, ast.With):
            for item in node.items:
                item.context_expr = self.expression(item.context_expr)
        else:
            for handler in node.handlers:
                handler.type = None if handler.type is None else self.expression(handler.type)
        before = self.take_pending()
        outcome = self.temporary("outcome")
        if rest is not None:
            before.append(_at(ast.Assign([ast.Name(outcome, ast.Store())], ast.Constant(None)), node))
        parts = [(node, "body"), *((h, "body") for h in getattr(node, "handlers", ()))]
        parts += [(node, n) for n in ("orelse", "finalbody") if getattr(node, n, None)]
        for owner, name in parts:
            body = getattr(owner, name)
            if rest is None or (name == "finalbody" and not any(map(_escapes, body))):
                setattr(owner, name, self.block(body))
            elif name == "finalbody":
                setattr(owner, name, [_at(ast.Expr(staged("unsupported", [ast.Constant("a jump out of finally")])), node)])
            else:
                made: list[ast.stmt] = []
                called = ast.Call(self.defined(name, body, made), [], [])
                kept = ast.NamedExpr(ast.Name(outcome, ast.Store()), called)
                tested: list[ast.stmt] = [*made, _at(ast.Expr(kept), node)]
                setattr(owner, name, tested)
        if getattr(node, "handlers", ()):
            guard = ast.With([ast.withitem(staged("trying", []))], node.body)
            node.body = [_at(guard, node)]
        made = [*before, node]
        if rest is not None:
            after = self.defined("rest", rest, made)
            made.append(_at(ast.Return(staged("then", [_name(outcome), after, *_targets(node)])), node))
        return made

    def caught(self, node: ast.Try, rest: list[ast.stmt]) -> list[ast.stmt]:
        """A `try` whose body jumps to its handlers; each is an inner function of the exception."""
        made: list[ast.stmt] = []
        body = self.defined("body", node.body, made)
        handlers: list[ast.expr] = []
        for handler in node.handlers:
            kinds = ast.Constant(None) if handler.type is None else self.expression(handler.type)
            exception = self.temporary("exception")
            for again in reraises(handler):
                again.exc = _at(_name(exception), again)
            named = [ast.Assign([ast.Name(handler.name, ast.Store())], _name(exception))] if handler.name else []
            block = self.block(handler.body)
            block = [*(_at(n, handler) for n in named), *block]
            function = self.thunk("body", assigned_names([*named, *handler.body]), block, handler.body[0])
            function.args.args.append(ast.arg(exception))
            made += [*self.take_pending(), function]
            handlers.append(ast.Tuple([kinds, _name(function.name)], ast.Load()))
        otherwise = self.defined("orelse", node.orelse, made)
        after = self.defined("rest", rest, made)
        inside = ast.Constant(getattr(node, "inside", False))
        outcome = staged("handled", [body, ast.Tuple(handlers, ast.Load()), otherwise, inside])
        return [*made, _at(ast.Return(staged("then", [outcome, after, *_targets(node)])), node)]

    def match(self, node: ast.Match) -> list[ast.stmt]:
        live = node.live  # type: ignore[attr-defined]
        made = match_to_ifs(node, self.temporary("subject"), node.subject, STAGING)
        for s in made:
            for n in ast.walk(s):
                if isinstance(n, ast.If) and not hasattr(n, "live"):
                    n.live = live | frozenset(x.id for x in ast.walk(s) if isinstance(x, ast.Name))  # type: ignore[attr-defined]
                    n.live_end = n.live | node.live_end  # type: ignore[attr-defined]
                    n.live_leave, n.live_again = node.live_leave, node.live_again  # type: ignore[attr-defined]
        return made

    def defined(self, what: str, body: Sequence[ast.stmt], into: list[ast.stmt]) -> ast.expr:
        """The name of a new inner function that is defined in `into`; None where it would be empty."""
        if not body:
            return ast.Constant(None)
        assigned, first = assigned_names(body), body[0]
        made = self.thunk(what, assigned, self.block(body), first)
        into.append(made)
        return _name(made.name)

    def thunk(self, what: str, assigned: set[str], body: list[ast.stmt], origin: ast.AST) -> ast.FunctionDef:
        """An inner function around a lowered body. It shares the names that it assigns."""
        shared = sorted(assigned)
        self.shared.update(shared)
        if shared:
            body = [_at(_shared(shared), origin), *body]
        arguments = ast.arguments([], [], None, [], [], None, [])
        return _at(ast.FunctionDef(self.temporary(what), arguments, body, []), origin)

    def temporary(self, what: str) -> str:
        self.count += 1
        return f"{what}{self.count}__"

    # -- expressions -----------------------------------------------------------------------------------------------------

    def expressions(self, node: ast.stmt) -> ast.stmt:
        """A simple statement with its expressions lowered."""
        made = _Expressions(self).visit(node)
        assert isinstance(made, ast.stmt)
        return made

    def expression(self, node: ast.expr) -> ast.expr:
        made = _Expressions(self).visit(node)
        assert isinstance(made, ast.expr)
        return made

    def test(self, node: ast.expr) -> ast.expr:
        return _Expressions(self).tested(node)

    def delayed(self, node: ast.expr) -> ast.expr:
        """A function without parameters for an expression."""
        return self.late(node, self.expression)

    def late(self, node: ast.expr, lower: Callable[[ast.expr], ast.expr]) -> ast.expr:
        assigned = assigned_names([node])
        if not assigned:
            return _at(ast.Lambda(ast.arguments([], [], None, [], [], None, []), lower(node)), node)
        outside, self.pending = self.pending, []
        value = lower(node)
        made = self.thunk("operand", assigned, [*self.take_pending(), _at(ast.Return(value), node)], node)
        self.pending = [*outside, made]
        return _name(made.name)


class _Expressions(ast.NodeTransformer):
    def __init__(self, function: _Function) -> None:
        self.function = function

    def tested(self, node: ast.expr) -> ast.expr:
        """An expression of which only the truth matters."""
        if isinstance(node, ast.BoolOp):
            what = "all_true" if isinstance(node.op, ast.And) else "any_true"
            return self.parts(what, node, self.tested)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return _at(staged("negated", [self.tested(node.operand)]), node)
        return self.expression(node)

    def expression(self, node: ast.expr) -> ast.expr:
        made = self.visit(node)
        assert isinstance(made, ast.expr)
        return made

    def parts(self, what: str, node: ast.BoolOp, lower: Any) -> ast.expr:
        first, *others = node.values
        simple = ast.Constant(all(map(_harmless, others)))
        delayed = [self.function.late(o, lower) for o in others]
        return _at(staged(what, [simple, lower(first), *delayed]), node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        return self.parts("conjunction" if isinstance(node.op, ast.And) else "disjunction", node, self.expression)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.Not):
            return self.tested(node)
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        parts = [self.function.delayed(p) for p in (node.body, node.orelse)]
        return _at(staged("choose", [self.tested(node.test), *parts]), node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) == 1 and not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            return self.generic_visit(node)
        if len(node.ops) == 1:
            sides = map(self.expression, (node.left, *node.comparators))
            return _at(staged("compared", [ast.Constant(type(node.ops[0]).__name__), *sides]), node)
        simple = ast.Constant(all(map(_harmless, node.comparators)))
        names = ast.Tuple([ast.Constant(type(o).__name__) for o in node.ops], ast.Load())
        operands = [self.expression(node.left), *(self.function.delayed(c) for c in node.comparators)]
        return _at(staged("chained", [simple, names, *operands]), node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        pending, self.function.pending = self.function.pending, []
        self.generic_visit(node)
        self.function.pending = pending
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = self.function
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args and function.first:
            node.args = [_at(ast.Name("__class__", ast.Load()), node), _at(_name(function.first), node)]
        return self.generic_visit(node)


# -- what statements contain ---------------------------------------------------------------------------------------------


def assigned_names(body: Sequence[ast.AST]) -> set[str]:
    """The local names that statements may assign or delete, those of inner functions left out."""
    found: set[str] = set()
    for node in _own(body):
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()):
                found.add(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                found.add(name)
            case ast.alias():
                found.add(node.asname or node.name.partition(".")[0])
    return found


def _own(body: Sequence[ast.AST]) -> list[ast.AST]:
    """All nodes but those inside inner functions; of comprehensions only what binds outside of them."""
    found: list[ast.AST] = []
    work = list(reversed(body))
    while work:
        node = work.pop()
        if isinstance(node, _COMPREHENSIONS):
            work.extend(t.target for t in ast.walk(node) if isinstance(t, ast.NamedExpr))
            continue
        found.append(node)
        if isinstance(node, INNER):
            continue
        work.extend(ast.iter_child_nodes(node))
    return found


def methods_of(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """The functions that a class statement defines, those of classes inside it too."""
    found = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    return found + [m for n in node.body if isinstance(n, ast.ClassDef) for m in methods_of(n)]


def declarations(body: Sequence[ast.AST]) -> list[ast.Nonlocal]:
    """The `nonlocal`s of the user's own."""
    return [n for n in _own(body) if isinstance(n, ast.Nonlocal)]


def _escapes(node: ast.stmt) -> bool:
    """Whether control may leave a statement otherwise than to the next one."""
    work: list[tuple[ast.AST, bool]] = [(node, False)]
    while work:
        n, looped = work.pop()
        if isinstance(n, INNER):
            continue
        if isinstance(n, ast.Return) or jumps(n) or is_yield(n) or (isinstance(n, (ast.Break, ast.Continue)) and not looped):
            return True
        if isinstance(n, (ast.For, ast.While)):
            work += [(s, True) for s in n.body] + [(s, looped) for s in n.orelse]
        else:
            work += [(c, looped) for c in ast.iter_child_nodes(n)]
    return False


def _leaves(node: ast.For | ast.While) -> ast.expr:
    """Whether a loop's body may end the loop."""
    inner = [n for s in node.body for n in _own([s])]
    leaves = any(isinstance(n, (ast.Return, ast.Break)) or jumps(n) for n in inner)
    return staged_name("leaves_walk") if not leaves and any(map(is_yield, inner)) else ast.Constant(leaves)


def _harmless(node: ast.expr) -> bool:
    """Whether an expression neither fails nor does anything: it may be computed where Python would not."""
    kinds = (ast.Name, ast.Constant, ast.BoolOp, ast.UnaryOp, ast.expr_context, ast.boolop, ast.unaryop, ast.cmpop)
    return all(isinstance(n, (*kinds, ast.Compare)) for n in ast.walk(node))


# -- making nodes --------------------------------------------------------------------------------------------------------


def staged_name(what: str) -> ast.Attribute:
    return ast.Attribute(ast.Name(STAGING, ast.Load()), what, ast.Load())


def staged(what: str, args: Sequence[ast.expr]) -> ast.Call:
    return ast.Call(staged_name(what), list(args), [])


def _shared(names: Sequence[str]) -> ast.Nonlocal:
    made = ast.Nonlocal(list(names))
    made.staged = True  # type: ignore[attr-defined]
    return made


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _targets(node: ast.stmt) -> list[ast.expr]:
    """The names that are needed behind a statement's block, behind the loop around it, and in its next turn."""
    return [_names(getattr(node, a)) for a in ("live_end", "live_leave", "live_again")]


def _names(names: frozenset[str]) -> ast.expr:
    return ast.Tuple([ast.Constant(n) for n in sorted(names)], ast.Load())


def _at(node: Placed, origin: ast.AST) -> Placed:
    """The node, and what is in it without a place of its own, at its origin's line."""
    for n in ast.walk(node):
        if hasattr(n, "lineno") or "lineno" not in n._attributes:
            continue
        n.lineno = n.end_lineno = getattr(origin, "lineno", 1)  # type: ignore[attr-defined]
        n.col_offset = n.end_col_offset = getattr(origin, "col_offset", 0)  # type: ignore[attr-defined]
    return node
