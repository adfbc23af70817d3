"""A plain install, without any extra: what it lacks, and what of our modules then cannot be."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "kfp-llm-tuning"
# Of the tuner on TPUs, which has an environment of its own (constraints-tpu.txt).
TPU_MODULES = frozenset({"flax", "jax", "optax", "tunix"})
# Deep enough to tell google.cloud.storage, which kfp brings, from google.cloud.aiplatform.
_DEPTH = 4


def requirements(requires: Iterable[str], extras: frozenset[str] = frozenset()) -> set[str]:
    """Names the distributions that stand in ``Requires-Dist`` lines, and all that they require."""
    found: set[str] = set()
    waiting = [(Requirement(line), extras) for line in requires]
    while waiting:
        requirement, asked = waiting.pop()
        markers = [{"extra": extra} for extra in (*asked, "")]
        if requirement.marker and not any(map(requirement.marker.evaluate, markers)):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found:
            found.add(name)
            wanted = metadata.distribution(name).requires or []
            inner = frozenset(requirement.extras)
            waiting += [(Requirement(line), inner) for line in wanted]
    return found


def modules_of(names: Iterable[str]) -> set[str]:
    """Names the modules of installed distributions, as deep as they are told apart."""
    found: set[str] = set()
    for name in names:
        for file in metadata.distribution(name).files or []:
            if file.suffix in (".py", ".so") and ".." not in file.parts:
                parts = [*file.parts[:-1], file.name.partition(".")[0]]
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                found |= {".".join(parts[:end]) for end in range(1, min(len(parts), _DEPTH) + 1)}
    return found


def lacking_modules(requires: Iterable[str]) -> set[str]:
    """Names the modules that are installed here, and would not be by these requirements alone."""
    everything = {
        canonicalize_name(one.metadata["Name"]) for one in metadata.distributions() if one.files
    }
    brought = requirements(requires) & everything
    return modules_of(everything - brought - {PACKAGE}) - modules_of(brought)


class ImportGraph:
    """What our modules import as soon as they are imported, found without importing them."""

    def __init__(self, sources: Mapping[str, Path]) -> None:
        """Takes every module of ours with its file."""
        self._direct = {name: set(_imports(path)) for name, path in sources.items()}

    def foreign(self, name: str) -> set[str]:
        """Names what a module, and those of ours that it imports, import of others."""
        seen: set[str] = set()
        found: set[str] = set()
        waiting = [name]
        while waiting:
            module = waiting.pop()
            if module in seen:
                continue
            seen.add(module)
            waiting += [
                ".".join(module.split(".")[:end]) for end in range(2, module.count(".") + 1)
            ]
            for imported in self._direct.get(module, ()):
                if imported in self._direct:
                    waiting.append(imported)
                elif not imported.startswith("kfp_llm_tuning"):
                    found.add(imported)
        return found

    def needs_tpu(self, name: str) -> bool:
        """Tells whether a module can be imported in the environment of TPUs alone."""
        return bool(self.foreign(name) & TPU_MODULES)


def _imports(path: Path) -> Iterator[str]:
    waiting: list[ast.stmt] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ClassDef):
            waiting += node.body
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            waiting += [*node.body, *node.orelse]
