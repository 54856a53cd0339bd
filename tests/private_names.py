"""What of other packages we use, or replace, that they promise to nobody.

Such a name may go or change with any release. `private_names.json` has, for each file of ours, how
each name looked when the file was written for it; the tests compare that with what is installed,
and say of a difference what of ours hangs on it. After the file is mended for another release,
`python -m tests.private_names` writes the table anew.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from novaloop_localcloud.emulator import EMULATOR_PYTHON
from tests.accept.cloud import PYTHON as ACCEPT_PYTHON

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".json")
PRIVATE_PACKAGES = {"ministack", "localstack"}
"""Emulators: programs, of which nothing that Python can import is promised."""
_OURS = {"benchmarks", "novaloop", "novaloop_cli", "novaloop_localcloud", "tests"}
_FOLDERS = ("benchmarks", "cli", "functions", "layers/novaloop/novaloop", "localcloud", "tests")
_ON_OBJECTS = {
    "layers/novaloop/novaloop/metrics/archive.py": ("tarfile.TarInfo._proc_member",),
}
"""Names of a class that a file uses on an object, of which its imports tell nothing.

Without tarfile's `_proc_gnusparse_*`, which take other things on each Python and are replaced by
what takes anything; that sparse files are refused has tests of its own.
"""

_LOOK = """
import importlib, inspect, json, sys

def look(path):
    parts = path.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
            break
        except ModuleNotFoundError:
            continue
    else:
        return None
    for part in parts[split:]:
        if not hasattr(found, part):
            return None
        found = getattr(found, part)
    if not callable(found):
        return type(found).__name__
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return "callable"
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    told = [
        stars.get(each.kind, "") + each.name + ("" if each.default is each.empty else "=")
        for each in parameters
    ]
    return f"({', '.join(told)})"

names = json.loads(sys.argv[1])
print(json.dumps({name: look(name) for name in names}))
"""


def used(file: Path, root: Path = ROOT) -> dict[str, list[str]]:
    """Return the private names of others that a file uses, each with the parts of it that do."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = dict(_imported(tree))
    found: dict[str, list[str]] = {}
    for part in tree.body:
        for name in _names(part, imported):
            found.setdefault(name, [])
            if _title(part) not in found[name]:
                found[name].append(_title(part))
    for name in _ON_OBJECTS.get(str(file.relative_to(root)), ()):
        assert name.rpartition(".")[2] in file.read_text(encoding="utf-8"), f"{file}: no {name}"
        found[name] = [str(file.relative_to(root))]
    return {
        name: by
        for name, by in found.items()
        if not any(other.startswith(f"{name}.") for other in found)
    }


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield what a module imports of others' packages: its name here, and its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(each.asname or each.name, each.name) for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [
                (each.asname or each.name, f"{node.module}.{each.name}") for each in node.names
            ]
        else:
            continue
        for here, full in names:
            if _is_foreign(full):
                yield here, full


def _names(part: ast.AST, imported: dict[str, str]) -> Iterator[str]:
    """Yield the private names that a part of a module uses: by its imports, or as text to patch."""
    for node in ast.walk(part):
        if isinstance(node, ast.Attribute | ast.Name):
            yield from _private(node, imported)
        elif isinstance(node, ast.Call) and node.args:
            function, first = node.func, node.args[0]
            patches = isinstance(function, ast.Attribute) and function.attr in {"setattr", "patch"}
            if patches and isinstance(first, ast.Constant) and _is_foreign(str(first.value)):
                yield str(first.value)
            if patches and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                named = ast.Attribute(first, str(node.args[1].value))
                yield from _private(named, imported)


def _private(node: ast.expr, imported: dict[str, str]) -> Iterator[str]:
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in imported:
        return
    full = imported[node.id]
    last = max((at for at, each in enumerate(path) if _is_private(each)), default=-1)
    if last >= 0 or any(map(_is_private, full.split("."))):
        yield ".".join([full, *path[: last + 1]])
    elif full.partition(".")[0] in PRIVATE_PACKAGES:
        yield ".".join([full, *path[:1]])


def _is_foreign(full: str) -> bool:
    return full.partition(".")[0] not in _OURS | sys.stdlib_module_names


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _title(part: ast.stmt) -> str:
    if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return f"line {part.lineno}"
    told = (ast.get_docstring(part) or "").partition("\n")[0]
    return f"{part.name}: {told}" if told else part.name


def python_of(file: str) -> Path:
    """Return the interpreter that a file of ours runs on."""
    if file == "tests/accept/emulator.py":
        return ACCEPT_PYTHON
    return EMULATOR_PYTHON if file.startswith("localcloud/") else Path(sys.executable)


def found_by(python: Path, names: list[str]) -> dict[str, str | None]:
    """Return how names look to an interpreter: parameters, or a type; None of what is not there."""
    looked = subprocess.run(
        [str(python), "-c", _LOOK, json.dumps(names)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    answer: dict[str, str | None] = json.loads(looked.stdout.splitlines()[-1])
    return answer


def differences(before: dict[str, str], uses: dict[str, list[str]], python: Path) -> list[str]:
    """Say of each name that is gone or has changed what of ours hangs on it."""
    now = found_by(python, list(uses))
    return [
        f"{name} {'is gone' if now[name] is None else f'is {now[name]}'}, was {before[name]}; "
        f"on it hangs {'; '.join(by)}"
        for name, by in uses.items()
        if name in before and now[name] != before[name]
    ]


def everything() -> dict[str, dict[str, list[str]]]:
    """Return, by file of ours, the private names of others that it uses."""
    files = [file for folder in _FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    found = {str(file.relative_to(ROOT)): used(file) for file in files}
    return {file: names for file, names in found.items() if names}


def table() -> dict[str, dict[str, str]]:
    """Return the table: by file, how each name looked."""
    told: dict[str, dict[str, str]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return told


if __name__ == "__main__":
    told = {file: found_by(python_of(file), sorted(names)) for file, names in everything().items()}
    TABLE.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
