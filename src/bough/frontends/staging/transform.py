"""The rewriting of Python source: what can meet symbolic values goes through staging functions.

    for child in node.children:          loop1 = staging.loop(staging.attribute(node, "children"), None, {"h": lambda: h})
        h = h + self(child)       ->     for child in loop1:
                                             if loop1.symbolic: h = loop1.enter("h")
                                             h = h + staging.call(self, child)
                                         if loop1.symbolic: h = loop1.leave("h"); child = loop1.leave("child")

Branches, arithmetic and comparisons stay: symbolic values answer them through Python's own protocols. Lines keep their numbers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from bough.frontends.staging.match_statements import match_to_ifs

Placed = TypeVar("Placed", bound=ast.AST)
STAGING = "__staging__"
"""The name under which rewritten code finds the staging functions."""

_OF_FRAMES = frozenset({"super", "locals", "globals", "vars"})
"""Functions that look at the frame that calls them."""


class Transformer(ast.NodeTransformer):
    """Rewrites one function; `owner` is the class around it, for private names. `control`: its control flow has been rewritten
    already (see `thunks`)."""

    def __init__(self, owner: str, control: bool = False) -> None:
        self.owner = owner.lstrip("_")
        self.control = control
        self.temporaries = 0

    # -- definitions -----------------------------------------------------------------------------------------------------

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.FunctionDef:
        """The outermost definition; its defaults are those of the function object."""
        a = node.args
        a.defaults = [ast.Constant(None) for _ in a.defaults]
        a.kw_defaults = [None if d is None else ast.Constant(None) for d in a.kw_defaults]
        return self.visit_FunctionDef(node) if isinstance(node, ast.FunctionDef) else self.visit_AsyncFunctionDef(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        for a in ast.walk(node.args):
            if isinstance(a, ast.arg):
                a.annotation = None
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.FunctionDef:
        body: list[ast.stmt] = [self.unsupported("async", node)]
        return ast.copy_location(ast.FunctionDef(node.name, node.args, body, []), node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """The methods alone: what stands beside them runs once, in the class's own namespace."""
        around, self.owner = self.owner, node.name.lstrip("_")
        for statement in node.body:
            if isinstance(statement, ast.ClassDef):
                self.visit_ClassDef(statement)
            elif isinstance(statement, ast.FunctionDef):
                statement.body = [s for old in statement.body for s in _several(self.visit(old))]
        self.owner = around
        return node

    # -- expressions -----------------------------------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == STAGING:
            node.args = [self.visit(a) for a in node.args]
            return node
        untouched = isinstance(node.func, ast.Name) and node.func.id in _OF_FRAMES
        self.generic_visit(node)
        for k in node.keywords if self.control else ():
            if k.arg is None:
                k.value = self.staged("named", node, [k.value])
        return node if untouched else self.staged("call", node, [node.func, *node.args], node.keywords)

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            node.value = self.staged("spread", node, [node.value])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = self.name(node.attr)
        if not isinstance(node.ctx, ast.Load):
            return node
        return self.staged("attribute", node, [node.value, ast.Constant(node.attr)])

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        return self.staged("item", node, [node.value, self.key(node.slice)])

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        if not self.control:
            return node
        parts: list[ast.expr] = []
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                spec = value.format_spec or ast.Constant("")
                value = _placed(ast.Tuple([value.value, ast.Constant(value.conversion), spec], ast.Load()), node)
            parts.append(value)
        return self.staged("formatted", node, parts)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        what = {ast.Add: "add", ast.Mult: "multiply"}.get(type(node.op))  # of lists
        return self.staged(what, node, [node.left, node.right]) if self.control and what is not None else node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if not any(isinstance(o, (ast.Is, ast.IsNot, ast.In, ast.NotIn)) for o in node.ops):
            return node
        parts = [
            self.comparison(node, a, op, b)
            for a, op, b in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
        ]
        return parts[0] if len(parts) == 1 else ast.copy_location(ast.BoolOp(ast.And(), parts), node)

    def comparison(self, node: ast.AST, a: ast.expr, op: ast.cmpop, b: ast.expr) -> ast.expr:
        if isinstance(op, (ast.Is, ast.IsNot)):
            made: ast.expr = self.staged("is_same", node, [a, b])
        elif isinstance(op, (ast.In, ast.NotIn)):
            made = self.staged("contains", node, [b, a])
        else:
            return ast.copy_location(ast.Compare(a, [op], [b]), node)
        if not isinstance(op, (ast.IsNot, ast.NotIn)):
            return made
        return self.staged("negated", node, [made]) if self.control else ast.copy_location(ast.UnaryOp(ast.Not(), made), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not):
            node.operand = self.tested(node.operand)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        node.values = [*map(self.tested, node.values[:-1]), node.values[-1]]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        node.test = self.tested(node.test)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        node.test = self.tested(node.test)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        self.generic_visit(node)
        node.test = self.tested(node.test)
        return node

    def tested(self, node: ast.expr) -> ast.expr:
        """An expression of which only the truth matters."""
        if isinstance(node, ast.BoolOp):
            node.values[-1] = self.tested(node.values[-1])
            return node
        if isinstance(node, ast.Compare | ast.Constant | ast.UnaryOp):
            return node
        return self.staged("truth", node, [node])

    def visit_List(self, node: ast.List) -> ast.AST:
        self.generic_visit(node)
        return self.staged("fresh", node, [node]) if isinstance(node.ctx, ast.Load) else node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        self.generic_visit(node)
        if self.control and None in node.keys:
            pairs = zip(node.keys, node.values, strict=True)
            return self.staged("dictionary", node, [v if k is None else _placed(ast.Dict([k], [v]), node) for k, v in pairs])
        return self.staged("fresh", node, [node])

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self.comprehension(node, "list", node.elt)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self.comprehension(node, "generator", node.elt)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self.comprehension(node, "set", node.elt)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self.comprehension(node, "dict", ast.copy_location(ast.Tuple([node.key, node.value], ast.Load()), node))

    def comprehension(self, node: Any, kind: str, element: ast.expr) -> ast.AST:
        """`staging.comprehend(kind, iterable, body, conditions)`; further `for`s make the body a comprehension of its own."""
        first, *rest = node.generators
        if any(isinstance(n, ast.NamedExpr) for n in ast.walk(node)):
            return self.staged("unsupported", node, [ast.Constant(":= in a comprehension")])
        if first.is_async:
            return self.staged("unsupported", node, [ast.Constant("async")])
        if rest:
            inner = ast.copy_location(ast.ListComp(element, rest), node)
            body = self.visit(inner)
        else:
            body = self.visit(element)
        conditions: list[ast.expr] = [self.of_element(node, first.target, self.visit(c)) for c in first.ifs]
        made = [ast.Constant(kind), self.visit(first.iter), self.of_element(node, first.target, body)]
        return self.staged("comprehend", node, [*made, ast.Tuple(conditions, ast.Load()), ast.Constant(bool(rest))])

    def of_element(self, node: ast.AST, target: ast.expr, body: ast.expr) -> ast.Lambda:
        """`lambda element: [body for target in (staging.shape(element, pattern),)][0]`."""
        element = self.staged("shape", node, [ast.Name("element_", ast.Load()), ast.Constant(pattern_of(target))])
        once = ast.comprehension(target, ast.Tuple([element], ast.Load()), [], 0)
        value = ast.Subscript(ast.ListComp(body, [once]), ast.Constant(0), ast.Load())
        parameters = ast.arguments([], [ast.arg("element_")], None, [], [], None, [])
        return _placed(ast.Lambda(parameters, value), node)

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        return self.staged("unsupported", node, [ast.Constant("yield")])

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        return self.staged("unsupported", node, [ast.Constant("yield")])

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return self.staged("unsupported", node, [ast.Constant("await")])

    # -- statements ------------------------------------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> Any:
        value = self.visit(node.value)
        if len(node.targets) == 1:
            return self.assign(node, node.targets[0], value)
        name = self.temporary()
        made = [ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), node)]
        return made + [s for t in node.targets for s in self.assign(node, t, ast.Name(name, ast.Load()))]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.assign(node, node.target, self.visit(node.value))

    def assign(self, node: ast.AST, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """`target = value` for an unvisited target and a visited value."""
        if isinstance(target, (ast.Attribute, ast.Subscript)):
            target = self.visit(target)
            return [ast.copy_location(ast.Expr(self.store(node, target, value)), node)]
        if isinstance(target, (ast.Tuple, ast.List)):
            pattern: Any = tuple("rest" if isinstance(t, ast.Starred) else None for t in target.elts)
            value = self.staged("shape", node, [value, ast.Constant(pattern)])
            names: list[ast.expr] = []
            after: list[ast.stmt] = []
            for part in target.elts:
                if isinstance(part, ast.Name):
                    names.append(part)
                    continue
                name = ast.Name(self.temporary(), ast.Store())
                found: ast.expr = ast.Name(name.id, ast.Load())
                if isinstance(part, ast.Starred):
                    found = self.staged("rest", node, [found])
                names.append(ast.Starred(name, ast.Store()) if isinstance(part, ast.Starred) else name)
                after += self.assign(node, part.value if isinstance(part, ast.Starred) else part, found)
            target = ast.Tuple(names, ast.Store())
            return [_placed(ast.Assign([target], value), node), *after]
        return [_placed(ast.Assign([target], value), node)]

    def store(self, node: ast.AST, target: Any, value: ast.expr) -> ast.expr:
        if isinstance(target, ast.Attribute):
            return self.staged("store_attribute", node, [target.value, ast.Constant(target.attr), value])
        return self.staged("store_item", node, [target.value, self.key(target.slice), value])

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        self.generic_visit(node)
        if isinstance(node.target, ast.Name):
            if self.control:
                return self.updated(node, node.target)
            return self.added(node, node.target) if isinstance(node.op, ast.Add) else node
        owner = self.temporary()
        made: list[ast.stmt] = [_placed(ast.Assign([ast.Name(owner, ast.Store())], node.target.value), node)]
        node.target.value = ast.Name(owner, ast.Load())
        operands: list[ast.expr] = [ast.Name(owner, ast.Load())]
        if isinstance(node.target, ast.Subscript):
            key = self.temporary()
            made.append(_placed(ast.Assign([ast.Name(key, ast.Store())], self.key(node.target.slice)), node))
            node.target.slice = ast.Name(key, ast.Load())
            old = self.staged("item", node, [*operands, ast.Name(key, ast.Load())])
        else:
            old = self.staged("attribute", node, [*operands, ast.Constant(node.target.attr)])
        result = self.temporary()
        made.append(_placed(ast.Assign([ast.Name(result, ast.Store())], old), node))
        update = _placed(ast.AugAssign(ast.Name(result, ast.Store()), node.op, node.value), node)
        made.append(self.updated(update, ast.Name(result)) if self.control else update)
        made.append(_placed(ast.Expr(self.store(node, node.target, ast.Name(result, ast.Load()))), node))
        return made

    def added(self, node: ast.AugAssign, target: ast.Name) -> ast.stmt:
        """`name += value`, which may add to a list that is filled on the way."""
        value = self.staged("added", node, [ast.Name(target.id, ast.Load()), node.value])
        return _placed(ast.Assign([ast.Name(target.id, ast.Store())], value), node)

    def updated(self, node: ast.AugAssign, target: ast.Name) -> ast.stmt:
        """`name += value` as an assignment."""
        operator = ast.Constant(f"i{_OPERATORS[type(node.op)]}")
        value = self.staged("update", node, [operator, ast.Name(target.id, ast.Load()), node.value])
        return _placed(ast.Assign([ast.Name(target.id, ast.Store())], value), node)

    def visit_Delete(self, node: ast.Delete) -> Any:
        self.generic_visit(node)
        if not self.control:
            return node
        return [_placed(self.deleted(node, t), node) for t in node.targets]

    def deleted(self, node: ast.Delete, target: ast.expr) -> ast.stmt:
        if isinstance(target, ast.Attribute):
            return ast.Expr(self.staged("delete_attribute", node, [target.value, ast.Constant(target.attr)]))
        if isinstance(target, ast.Subscript):
            return ast.Expr(self.staged("delete_item", node, [target.value, self.key(target.slice)]))
        return ast.Delete([target])

    def visit_For(self, node: ast.For) -> Any:
        assigned = sorted(_assigned(node.body))
        targets = sorted(_assigned([node.target]))
        self.generic_visit(node)
        loop = self.temporary()
        none = ast.arguments([], [], None, [], [], None, [])
        getters = ast.Dict([ast.Constant(n) for n in assigned], [ast.Lambda(none, ast.Name(n, ast.Load())) for n in assigned])
        made = self.staged("loop", node, [node.iter, ast.Constant(pattern_of(node.target)), getters])
        before = _placed(ast.Assign([ast.Name(loop, ast.Store())], made), node)
        node.iter = ast.copy_location(ast.Name(loop, ast.Load()), node)
        enters = [self.hand(node, loop, n, "enter") for n in assigned]
        leaves = [self.hand(node, loop, n, "leave") for n in dict.fromkeys((*assigned, *targets))]
        if enters:
            node.body = [self.if_symbolic(node, loop, enters), *node.body]
        return [before, node, self.if_symbolic(node, loop, leaves)] if leaves else [before, node]

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self.unsupported("async", node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        return self.unsupported("async", node)

    def hand(self, node: ast.AST, loop: str, name: str, what: str) -> ast.stmt:
        """`name = loop.what("name")`."""
        value = ast.Call(ast.Attribute(ast.Name(loop, ast.Load()), what, ast.Load()), [ast.Constant(name)], [])
        return _placed(ast.Assign([ast.Name(name, ast.Store())], value), node)

    def if_symbolic(self, node: ast.AST, loop: str, body: list[ast.stmt]) -> ast.stmt:
        return _placed(ast.If(ast.Attribute(ast.Name(loop, ast.Load()), "symbolic", ast.Load()), body, []), node)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        node.value = self.staged("returned", node, [node.value or ast.Constant(None)])
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        message = ast.Call(ast.Name("AssertionError", ast.Load()), [node.msg] if node.msg else [], [])
        return _placed(ast.If(ast.UnaryOp(ast.Not(), self.tested(node.test)), [self.refusal(node, message)], []), node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        self.generic_visit(node)
        return self.refusal(node, node.exc) if node.exc is not None else node

    def refusal(self, node: ast.AST, exception: ast.expr) -> ast.stmt:
        late = ast.Lambda(ast.arguments([], [], None, [], [], None, []), exception)
        return _placed(ast.Expr(self.staged("refuse", node, [late])), node)

    def visit_Match(self, node: ast.Match) -> Any:
        name = self.temporary()
        return [self.visit(s) if n else s for n, s in enumerate(match_to_ifs(node, name, self.visit(node.subject), STAGING))]

    def visit_Try(self, node: ast.Try) -> ast.AST:
        if node.handlers and not self.control:
            return self.unsupported("try", node)
        return self.generic_visit(node)

    def visit_TryStar(self, node: ast.TryStar) -> ast.AST:
        return self.unsupported("try", node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return self.unsupported("global", node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        return node if self.control else self.unsupported("nonlocal", node)

    # -- helpers ---------------------------------------------------------------------------------------------------------

    def staged(self, what: str, node: ast.AST, args: Sequence[ast.expr], keywords: Iterable[ast.keyword] = ()) -> ast.Call:
        function = ast.Attribute(ast.Name(STAGING, ast.Load()), what, ast.Load())
        # On one line: Python counts the call of a method to the last line of what stands before its parentheses.
        function.lineno = function.end_lineno = getattr(node, "lineno", 1)
        function.col_offset = function.end_col_offset = getattr(node, "col_offset", 0)
        return _placed(ast.Call(function, list(args), list(keywords)), node)

    def unsupported(self, what: str, node: ast.AST) -> ast.stmt:
        return _placed(ast.Expr(self.staged("unsupported", node, [ast.Constant(what)])), node)

    def key(self, node: ast.expr) -> ast.expr:
        """What stands between brackets, as a value."""
        if isinstance(node, ast.Slice):
            return self.staged("slice", node, [p or ast.Constant(None) for p in (node.lower, node.upper, node.step)])
        if isinstance(node, ast.Tuple):
            node.elts = [self.key(e) for e in node.elts]
        return node

    def name(self, name: str) -> str:
        """A private name as the class around it has it."""
        return f"_{self.owner}{name}" if self.owner and name.startswith("__") and not name.endswith("__") else name

    def temporary(self) -> str:
        self.temporaries += 1
        return f"staged{self.temporaries}__"


def _several(visited: Any) -> list[ast.stmt]:
    """What a visit of one statement gives, as a list."""
    return visited if isinstance(visited, list) else [] if visited is None else [visited]


def pattern_of(target: ast.expr) -> Any:
    """The nesting of a target: tuples, None for what takes a value whole, `*` for what takes the rest, which Python collects."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return tuple(pattern_of(t) for t in target.elts)
    return "*" if isinstance(target, ast.Starred) else None


_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.FloorDiv: "floordiv", ast.Mod: "mod", ast.Pow: "pow",
    ast.MatMult: "matmul", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor", ast.LShift: "lshift", ast.RShift: "rshift",
}  # fmt: skip
_SCOPES = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)


def _assigned(body: Sequence[ast.AST]) -> set[str]:
    """The local names that statements assign, those of nested functions and comprehensions left out."""
    found: set[str] = set()
    work = list(body)
    while work:
        node = work.pop()
        if isinstance(node, _SCOPES):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        work.extend(ast.iter_child_nodes(node))
    return found


def _placed(node: Placed, origin: ast.AST) -> Placed:
    """The node at its origin's line, where it has none of its own."""
    ast.copy_location(node, origin)
    return node
