"""Lets the reference show the names of `A, B = 1, 2`, which griffe leaves out (mkdocs.yml)."""

from __future__ import annotations

import ast
from typing import Any

import griffe


class Tuples(griffe.Extension):
    """Reads an assignment to several names as one assignment to each of them."""

    def on_module_node(self, *, node: ast.AST | griffe.ObjectNode, **_: Any) -> None:
        if isinstance(node, ast.Module):
            node.body = [one for statement in node.body for one in _split(statement)]


def _split(statement: ast.stmt) -> list[ast.stmt]:
    if not (isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Tuple)):
        return [statement]
    single: list[tuple[ast.expr, ast.expr]] = []
    for target in statement.targets:
        names, values = [target], [statement.value]
        if isinstance(target, ast.Tuple) and len(target.elts) == len(statement.value.elts):
            names, values = target.elts, statement.value.elts
        single += zip(names, values, strict=True)
    return [ast.copy_location(ast.Assign([name], value), statement) for name, value in single]
