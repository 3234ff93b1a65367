"""The house rules that a machine can check: who may import whom, what only one room knows, sizes, names.

Each rule collects every place that breaks it, so that one run shows all there is to mend.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "farebox"

PURE_ORDER = [{"money", "ids", "faults"}, {"tariff"}, {"ledger"}, {"admission"}, {"wire"}]
PURE = {room: rank for rank, rooms in enumerate(PURE_ORDER) for room in rooms}
WIRING = {"main", "books", "cli", "config", "__init__", "__main__"}
"""The only rooms that may know every other."""
COMMON = {"config", "observe"}
"""What every shell room may use: the settings it is handed, the names of its metrics and log lines."""
NEIGHBOURS = {
    "upstream": set[str](),
    "store": {"upstream"},
    "notify": {"store"},
    "insight": {"store"},
    "commerce": {"store", "notify"},
    "relay": {"store", "upstream"},
    "tasks": {"store", "upstream", "relay"},
    "edge": {"store", "relay", "tasks"},
    "console": {"store", "edge", "commerce", "insight"},
    "observe": set[str](),
    "config": set[str](),
}
"""Shell rooms whose words (values, protocols, errors) a shell room may import; never in a circle."""

IMPURE_MODULES = {
    *("asyncio", "concurrent", "ctypes", "ftplib", "getpass", "http", "io", "logging", "mmap", "multiprocessing"),
    *("os", "pathlib", "pickle", "platform", "random", "sched", "secrets", "select", "selectors", "shutil", "signal"),
    *("socket", "socketserver", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "uuid"),
}
IMPURE_CALLS = {"open", "print", "input", "eval", "exec", "__import__", "breakpoint"}
CLOCK_CALLS = {"now", "utcnow", "today"}
HTTP_ROOMS = {"edge", "console", "upstream"}
"""Upstream reads what providers answer; what customers are answered only edge and console know."""
STATUSES = {401, 402, 403, 404, 405, 409, 413, 415, 422, 429, 502, 503, 504, 529}
ROUND_STATUSES = {200, 400, 500}
"""Also ordinary numbers: a status only beside a name that says so."""
SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s"
    r"|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|ROLE)|WITH\s+\w+\s+AS\s*\(|LOCK\s+TABLE|LISTEN\s+\w|NOTIFY\s+\w)",
    re.IGNORECASE | re.DOTALL,
)
BANNED_PARTS = {"util", "utils", "helper", "helpers", "manager"}
BANNED_NAMES = BANNED_PARTS | {"data", "info", "process", "token", "balance", "transaction", "quota", "cost"}
FOREIGN_WORDS = {"wire": {"data"}, "edge": {"data"}, "upstream": {"data"}}
"""Words of protocols we speak: an event's `data`, a list's `data`, asyncio's `data_received(data)`."""

LONGEST_FUNCTION = 60
LONG_FUNCTION = 35
MEDIAN_FUNCTION = 10
LONGEST_MODULE = 400
MOST_PARAMETERS = 5


@dataclass(frozen=True)
class Module:
    """One source file, parsed."""

    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def room(self) -> str:
        first = self.path.relative_to(SOURCE).parts[0]
        return first.removesuffix(".py")

    @property
    def lines(self) -> int:
        return len(self.path.read_text(encoding="utf-8").splitlines())

    def at(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"

    def walk(self) -> Iterator[ast.AST]:
        return ast.walk(self.tree)

    def imports(self) -> Iterator[tuple[ast.AST, str]]:
        """Every module named in an import, in full; those only for type checking too."""
        for node in self.walk():
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                yield from ((node, f"{module}.{alias.name}") for alias in node.names)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (node for node in self.walk() if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def docstrings(self) -> set[int]:
        """The ids of the nodes that are documentation: a text that stands alone as a statement."""
        return {id(node.value) for node in self.walk() if isinstance(node, ast.Expr)}


MODULES = [Module(path) for path in sorted(SOURCE.rglob("*.py"))]
PURE_MODULES = [module for module in MODULES if module.room in PURE]
SHELL_MODULES = [module for module in MODULES if module.room not in PURE]


def hold_to(rule: Callable[[Module], Iterator[str]], modules: list[Module]) -> None:
    complaints = [complaint for module in modules for complaint in rule(module)]
    assert not complaints, "\n" + "\n".join(complaints)


def room_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "farebox" and len(parts) > 1 else None


def test_pure_rooms_import_the_standard_library_msgspec_and_rooms_above() -> None:
    def rule(module: Module) -> Iterator[str]:
        for node, name in module.imports():
            top, room = name.split(".")[0], room_of(name)
            if top == "farebox" and (room not in PURE or PURE[room] > PURE[module.room]):
                yield f"{module.at(node)} imports {name}, which is not above {module.room}"
            elif top not in {"farebox", "msgspec"} and (top not in sys.stdlib_module_names or top in IMPURE_MODULES):
                yield f"{module.at(node)} imports {name}"

    hold_to(rule, PURE_MODULES)


def test_pure_rooms_touch_no_clock_no_file_no_float() -> None:
    def rule(module: Module) -> Iterator[str]:
        for node in module.walk():
            match node:
                case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS | {"float"}:
                    yield f"{module.at(node)} calls {name}()"
                case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCK_CALLS:
                    yield f"{module.at(node)} reads a clock: .{name}()"
                case ast.Constant(value=float()):
                    yield f"{module.at(node)} writes the float {node.value}"
                case _:
                    pass

    hold_to(rule, PURE_MODULES)


def test_shell_rooms_import_only_their_neighbours() -> None:
    def rule(module: Module) -> Iterator[str]:
        allowed = set(PURE) | COMMON | NEIGHBOURS.get(module.room, set()) | {module.room}
        for node, name in module.imports():
            room = room_of(name)
            known = room is not None and ((SOURCE / room).exists() or (SOURCE / f"{room}.py").exists())
            if known and room not in allowed:
                yield f"{module.at(node)}: {module.room} imports {name}; let main hand it over"

    hold_to(rule, [module for module in SHELL_MODULES if module.room not in WIRING])


def test_only_main_and_cli_make_the_things_that_do_work() -> None:
    """A class with coroutines is no value: who needs one is handed it, and imports its name for its type at most."""
    workers = {
        f"farebox.{'.'.join(module.path.relative_to(SOURCE).with_suffix('').parts)}.{node.name}"
        for module in SHELL_MODULES
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and any(isinstance(part, ast.AsyncFunctionDef) for part in node.body)
    }

    def rule(module: Module) -> Iterator[str]:
        foreign = {
            name.split(".")[-1] for _, name in module.imports() if name in workers and room_of(name) != module.room
        }
        for node in module.walk():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in foreign:
                yield f"{module.at(node)} makes a {node.func.id}; let main hand it over"

    hold_to(rule, [module for module in MODULES if module.room not in WIRING])


def test_neighbours_do_not_form_a_circle() -> None:
    seen: list[str] = []
    for room in ("upstream", "store", "notify", "insight", "commerce", "relay", "tasks", "edge", "console"):
        assert NEIGHBOURS[room] <= set(seen)
        seen.append(room)


def test_only_store_knows_sql() -> None:
    def rule(module: Module) -> Iterator[str]:
        documentation = module.docstrings()
        for node, name in module.imports():
            if name.split(".")[0] in {"asyncpg", "psycopg", "sqlalchemy"}:
                yield f"{module.at(node)} imports {name}"
        for node in module.walk():
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if id(node) not in documentation and SQL.match(text):
                yield f"{module.at(node)} writes SQL: {text.strip()[:40]!r}"

    hold_to(rule, [module for module in MODULES if module.room != "store"])


def test_only_edge_and_console_know_what_status_a_customer_gets() -> None:
    def rule(module: Module) -> Iterator[str]:
        for node, name in module.imports():
            if name in {"http.HTTPStatus", "http"}:
                yield f"{module.at(node)} imports {name}"
        for node in module.walk():
            if isinstance(node, ast.Constant) and type(node.value) is int and node.value in STATUSES:
                yield f"{module.at(node)} writes {node.value}"
            elif isinstance(node, ast.Compare | ast.keyword) and _is_round_status(node):
                yield f"{module.at(node)} names a status"

    hold_to(rule, [module for module in MODULES if module.room not in HTTP_ROOMS])


def _is_round_status(node: ast.Compare | ast.keyword) -> bool:
    text = ast.unparse(node)
    written = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
    return "status" in text and bool(written & ROUND_STATUSES)


def test_no_function_is_longer_than_a_glance_and_most_are_short() -> None:
    lengths = {
        f"{module.at(node)} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for module in MODULES
        for node in module.functions()
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION
    long = sorted(name for name, length in lengths.items() if length >= LONG_FUNCTION)
    assert len(long) <= len(lengths) * 0.05, long


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    assert {str(module.path.name): module.lines for module in MODULES if module.lines > LONGEST_MODULE} == {}


def test_no_function_takes_more_than_five_parameters() -> None:
    def rule(module: Module) -> Iterator[str]:
        for node in module.functions():
            given = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            if len([name for name in given if name not in {"self", "cls"}]) > MOST_PARAMETERS and not _is_command(node):
                yield f"{module.at(node)} {node.name} takes {len(given)}"

    hold_to(rule, MODULES)


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """The options of a command line command are its parameters."""
    return any(".command(" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_names_say_what_a_thing_is() -> None:
    def rule(module: Module) -> Iterator[str]:
        for node, name in _definitions(module):
            plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_")
            if plain in BANNED_NAMES - FOREIGN_WORDS.get(module.room, set()) or BANNED_PARTS & set(plain.split("_")):
                yield f"{module.at(node)} calls something {name!r}"

    hold_to(rule, MODULES)


def _definitions(module: Module) -> Iterator[tuple[ast.AST, str]]:
    yield module.tree, module.path.stem
    for node in module.walk():
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield node, name
            case _:
                pass


def test_every_module_says_what_it_is() -> None:
    silent = [module.at(module.tree) for module in MODULES if module.lines > 1 and not ast.get_docstring(module.tree)]
    assert silent == []


def test_public_functions_of_pure_rooms_are_documented() -> None:
    def rule(module: Module) -> Iterator[str]:
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef) and node.name[0] != "_" and not ast.get_docstring(node):
                yield f"{module.at(node)} {node.name} has no docstring"

    hold_to(rule, PURE_MODULES)


@pytest.mark.parametrize("locked", sorted((ROOT / "requirements").rglob("*.txt")), ids=lambda path: path.name)
def test_requirements_are_locked_by_hash_and_name_no_host(locked: Path) -> None:
    text = locked.read_text(encoding="utf-8")
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", text)
    pinned = re.findall(r"^[A-Za-z0-9_.-]+(?:\[[^\]]*\])?==.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert pinned
    assert [one.split()[0] for one in pinned if "--hash=sha256:" not in one] == []


def test_the_locked_packages_of_node_are_hashed_and_name_no_registry() -> None:
    locked = json.loads((ROOT / "tests" / "clients" / "node" / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: package for name, package in locked["packages"].items() if name}
    assert packages
    assert [name for name, package in packages.items() if "integrity" not in package or "resolved" in package] == []
