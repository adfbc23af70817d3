"""Who imports whom: the folders of the package in their order, and what goes against it.

``python tests/import_graph.py [CHECKOUT]`` prints the folders, their imports, those that go against
the order, and circles.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

NAMESPACE = "kfp_llm_tuning"
ROOT = Path(__file__).parents[1]
# From the ground up. A folder imports from lines below its own, never from its own line or above:
# so no stage imports another stage, and no platform another platform.
LAYERS = (
    ("components",),
    ("components.common",),
    ("components.parameters", "components.tracking"),
    ("components.models",),
    ("components.data",),
    ("components.generation",),
    (
        "components.validation",
        "components.dataset",
        "components.tuning",
        "components.evaluation",
        "components.upload",
        "components.serving",
    ),
    ("pipelines.terminal", "pipelines.requests", "pipelines.starter"),
    ("pipelines.graphs",),
    ("pipelines.templates",),
    ("pipelines.planning",),
    ("pipelines.jobs",),
    ("pipelines.local_runs", "pipelines.kubeflow", "pipelines.vertex"),
    ("pipelines.compiling", "pipelines.registries"),
    ("pipelines.commands", "pipelines.python_call"),
    ("pipelines.own_pipeline",),
    ("pipelines",),
)

_LEVEL = {folder: level for level, layer in enumerate(LAYERS) for folder in layer}

Graph = Mapping[str, frozenset[str]]


def sources(root: Path = ROOT) -> dict[str, Path]:
    """Finds the package's modules by their names, without the namespace: FOLDER.__init__ too."""
    files = [path for top in ("components", "pipelines") for path in (root / top).rglob("*.py")]
    names = (".".join(path.relative_to(root).with_suffix("").parts) for path in files)
    return dict(sorted(zip(names, files, strict=True)))


def module_imports(root: Path = ROOT) -> Graph:
    """Says which modules of ours each module imports, inside functions too."""
    files = sources(root)
    return {
        name: frozenset(imported_by(path, files.keys())) - {name} for name, path in files.items()
    }


def between_folders(imports: Graph, depth: int = 2) -> Graph:
    """Takes modules together: which folders each folder imports from.

    Args:
        imports: Of modules.
        depth: How many names deep folders are told apart; ``components.data.reading`` is part of
            ``components.data`` at a depth of 2.
    """
    folders: dict[str, set[str]] = {}
    for module, imported in imports.items():
        own = _folder(module, depth)
        others = {_folder(one, depth) for one in imported}
        folders.setdefault(own, set()).update(others - {own})
    return {folder: frozenset(others) for folder, others in folders.items()}


def backward(folders: Graph) -> list[str]:
    """Lists the imports between folders that go up, or sideways; a folder without a layer too."""
    return [
        f"{folder} -> {other}"
        for folder, others in sorted(folders.items())
        for other in sorted(others)
        if _LEVEL.get(folder, -1) <= _LEVEL.get(other, len(LAYERS))
    ]


def circles(graph: Graph) -> list[list[str]]:
    """Lists the groups of names that import one another, on whatever way round."""
    leads_to = {name: reached(name, graph) for name in graph}
    groups = {
        tuple(sorted(other for other in leads_to[name] if name in leads_to[other]))
        for name in graph
        if name in leads_to[name]
    }
    return [list(group) for group in sorted(groups)]


def imported_by(path: Path, modules: Collection[str]) -> Iterator[str]:
    """Yields the modules of ours that a file imports."""
    for name in imported_names(path):
        own = name.removeprefix(f"{NAMESPACE}.")
        parent = own.rpartition(".")[0]
        # Of a module's contents the module is imported, of a folder's contents its own module.
        candidates = (own, f"{own}.__init__", parent, f"{parent}.__init__")
        if own != name:
            yield next(one for one in candidates if one in modules)


@cache
def imported_names(path: Path) -> frozenset[str]:
    """Names what a file imports, inside functions too: modules, and what it takes out of them."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return frozenset(names)


def reached(start: str, graph: Graph) -> set[str]:
    """Names what a name leads to, directly and by others."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph.get(name, ())
    return found


def report(root: Path) -> Iterator[str]:
    """Writes the lines that a person reads."""
    modules = module_imports(root)
    folders = between_folders(modules)
    for folder in sorted(folders, key=lambda name: (_LEVEL.get(name, len(LAYERS)), name)):
        yield f"{folder}: {', '.join(sorted(folders[folder])) or 'imports none'}"
    against, round_about = backward(folders), circles(folders)
    imports = sum(map(len, folders.values()))
    yield ""
    yield f"modules {len(modules)}, folders {len(folders)}, imports between folders {imports}"
    yield f"backward {len(against)}: {'; '.join(against) or 'none'}"
    yield f"circles {len(round_about)}: {'; '.join(map(', '.join, round_about)) or 'none'}"
    knots = circles(modules)
    yield f"circles of modules {len(knots)}: {'; '.join(map(', '.join, knots)) or 'none'}"


def _folder(module: str, depth: int) -> str:
    return ".".join(module.split(".")[:-1][:depth])


if __name__ == "__main__":
    print("\n".join(report(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)))  # noqa: T201
