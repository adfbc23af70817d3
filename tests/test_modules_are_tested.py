"""Every module has a test module of its own, is imported by one, or is listed with its tester.

``components/x/y.py`` is tested by ``tests/components/x/test_y.py``, or ``test_y_SUBJECT.py``; the
list is ``tests/tested_through.yaml``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from tests.import_graph import ROOT, imported_by, module_imports, reached, sources

TESTS = ROOT / "tests"
LIST: dict[str, list[str]] = yaml.safe_load(
    (TESTS / "tested_through.yaml").read_text(encoding="utf-8")
)


@cache
def modules_with_tests() -> frozenset[str]:
    """Names the modules that test modules are named after."""
    return frozenset(name for name, path in sources().items() if _has_tests(path))


def _has_tests(path: Path) -> bool:
    folder, subject = TESTS / path.relative_to(ROOT).parent, path.stem.strip("_")
    return any([*folder.glob(f"test_{subject}.py"), *folder.glob(f"test_{subject}_*.py")])


def untested() -> set[str]:
    """Names the modules that no test module is named after or imports."""
    modules = sources()
    imported = {name for path in TESTS.rglob("*.py") for name in imported_by(path, modules)}
    # A folder's own module holds its description and what it exports.
    own = {name for name in modules if not name.endswith(".__init__")}
    return own - modules_with_tests() - imported


def test_every_module_is_tested_or_listed() -> None:
    listed = [name for names in LIST.values() for name in names]
    needed = untested()
    assert sorted(needed - set(listed)) == [], "write a test, or list what it is tested through"
    assert sorted(set(listed) - needed) == [], "take it off the list"
    assert len(listed) == len(needed)


def test_what_is_listed_is_reached_by_what_is_tested() -> None:
    imports = module_imports()
    for tester, names in LIST.items():
        if tester.endswith(".py"):
            assert (TESTS / tester).is_file(), tester
        else:
            assert tester in modules_with_tests(), tester
            assert set(names) <= reached(tester, imports), tester
