"""Every public module, class, function and method says what it is."""

import ast
from collections.abc import Iterator

import pytest

from tests.gates.source import ROOT, Module, modules

SILENT = {"overload", "override", "setter", "deleter"}  # what these decorate is described elsewhere


def undocumented(module: Module) -> Iterator[str]:
    """The public names of the module without a docstring, with their places."""
    if any(part.startswith("_") and not part.startswith("__") for part in module.name.split(".")):
        return
    if not ast.get_docstring(module.tree):
        yield f"{module.path}:1: {module.name}"
    for name, node in _public(module.tree, module.name):
        if not ast.get_docstring(node):
            yield f"{module.path}:{node.lineno}: {name}"


def _public(
    node: ast.AST, prefix: str
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Public classes and functions of a module or class, under `if` and `try` too, not inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_") or SILENT & {_name(each) for each in child.decorator_list}:
                continue
            yield f"{prefix}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from _public(child, f"{prefix}.{child.name}")
        else:
            yield from _public(child, prefix)


def _name(decorator: ast.expr) -> str:
    return getattr(decorator, "attr", getattr(decorator, "id", ""))


def test_every_public_name_has_one():
    missing = [line for module in modules(ROOT).values() for line in undocumented(module)]
    assert not missing, "no docstring:\n" + "\n".join(missing)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["m"]),
        (
            '"""M."""\nclass A:\n    def f(self): ...\n    def _g(self): ...\n    def __len__(self): ...',
            ["m.A", "m.A.f"],
        ),
        ('"""M."""\nif 1:\n    async def f(): ...', ["m.f"]),
        ('"""M."""\ndef f():\n    """F."""\n    def inner(): ...', []),
        ('"""M."""\n@overload\ndef f(): ...', []),
    ],
)
def test_one_without_is_found(text, names, tmp_path):
    path = tmp_path / "m.py"
    path.write_text(text)
    assert [line.rpartition(" ")[2] for line in undocumented(Module("m", path))] == names
