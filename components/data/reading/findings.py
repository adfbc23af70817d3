"""What a check finds: counted without limit, kept for printing up to one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.data.reading.places import Place


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing found in a dataset.

    Attributes:
        kind: Its short name, by which findings are counted: ``empty_text``.
        what: What is wrong, with the offending value.
        allowed: What would be accepted.
        fix: What to do.
        severity: Errors refuse the dataset, warnings do in strict mode, notes never.
        line: Line or row of the file, from 1; 0 for the dataset as a whole.
        path: Field within the line: ``messages[2].author``.
        file: The dataset, as :func:`name_files` names it.
        repeated: How many further lines have just the same to be said.
        unit: What ``line`` counts: ``line`` or ``row``.
    """

    kind: str
    what: str
    allowed: str = ""
    fix: str = ""
    severity: Severity = Severity.ERROR
    line: int = 0
    path: str = ""
    file: str = ""
    repeated: int = 0
    unit: str = "line"

    def at(self, place: Place, field: str = "") -> Finding:
        """Puts it where an example stands.

        Args:
            place: Where.
            field: Of the example; empty for all of it.
        """
        path = ".".join(part for part in (place.path, field) if part)
        return replace(self, line=place.line, path=path, file=place.file, unit=place.unit)

    def of(self, dataset: str) -> Finding:
        """Names the dataset, unless one of its files is named."""
        return self if self.file else replace(self, file=dataset)

    @property
    def where(self) -> str:
        """The file's name, line and field: ``train.jsonl line 3, messages[2].author``."""
        line = f"{self.unit} {self.line}" if self.line else ""
        if self.repeated:
            line += f" and {counted(self.repeated, f'more {self.unit}')}"
        return ", ".join(part for part in (f"{self.file} {line}".strip(), self.path) if part)

    def problem(self) -> Problem:
        """The finding as the message that a user reads."""
        return Problem(self.what, self.where, self.allowed, self.fix)


def name_files(*uris: str, least: int = 1) -> list[str]:
    """Names datasets by the last parts of their URIs: as few as tell different ones apart.

    Args:
        uris: Files, or several files with commas between.
        least: How many parts a name has at least, where the URI has as many.

    Returns:
        One name each: ``train.jsonl``, or ``train/data.jsonl`` beside ``evaluation/data.jsonl``.
    """
    parts = [[one.rstrip("/").split("/") for one in uri.split(",")] for uri in uris]
    names = list(uris)
    deepest = max(len(one) for several in parts for one in several)
    for depth in range(least, max(least, deepest) + 1):
        names = [",".join("/".join(one[-depth:]) for one in several) for several in parts]
        if len(set(names)) == len(set(uris)):
            break
    return names


class Findings:
    """Collects findings: counts all of them, keeps the first few of every kind.

    A finding that says the same as a kept one, of another line, is counted with that one.
    """

    def __init__(self, limit: int) -> None:
        """Starts empty.

        Args:
            limit: How many findings of one kind and file are kept to be printed.
        """
        self.limit = limit
        self.counts: Counter[tuple[Severity, str, str]] = Counter()
        self._kept: dict[Finding, Finding] = {}
        self._kept_of_kind: Counter[tuple[Severity, str, str]] = Counter()

    def add(self, finding: Finding) -> None:
        """Counts a finding and keeps it while few of its kind are kept."""
        key = (finding.severity, finding.kind, finding.file)
        self.counts[key] += 1
        message = replace(finding, line=0)
        if finding.line and message in self._kept:
            kept = self._kept[message]
            self._kept[message] = replace(kept, repeated=kept.repeated + 1)
        elif self._kept_of_kind[key] < self.limit:
            self._kept[message] = finding
            self._kept_of_kind[key] += 1

    def total(self, severity: Severity) -> int:
        """Counts the findings of one severity."""
        return sum(count for (found, _, _), count in self.counts.items() if found == severity)

    def by_kind(self, severity: Severity) -> dict[str, int]:
        """Counts the findings of one severity by their kind, the most frequent first."""
        counts: Counter[str] = Counter()
        for (found, kind, _), count in self.counts.items():
            if found == severity:
                counts[kind] += count
        return dict(counts.most_common())

    def printed(self, severity: Severity) -> list[Finding]:
        """Chooses at most ``limit`` findings so that every kind is among them while room is.

        Returns:
            Findings in order of file and line.
        """
        ranks: Counter[tuple[str, str]] = Counter()
        ranked = []
        for position, finding in enumerate(self._kept.values()):
            if finding.severity == severity:
                key = (finding.kind, finding.file)
                ranked.append((ranks[key], position, finding))
                ranks[key] += 1
        chosen = sorted(ranked, key=lambda entry: entry[:2])[: self.limit]
        files = list(dict.fromkeys(finding.file for finding in self._kept.values()))
        chosen.sort(key=lambda entry: (files.index(entry[2].file), entry[2].line, entry[1]))
        return [finding for _, _, finding in chosen]

    def with_warnings_as_errors(self) -> Findings:
        """Copies the findings for strict mode."""
        strict = Findings(self.limit)
        for (severity, kind, file), count in self.counts.items():
            strict.counts[_stricter(severity), kind, file] += count
        strict._kept = {
            replace(message, severity=_stricter(message.severity)): replace(
                kept, severity=_stricter(kept.severity)
            )
            for message, kept in self._kept.items()
        }
        return strict


def _stricter(severity: Severity) -> Severity:
    return Severity.ERROR if severity == Severity.WARNING else severity


def refused_row(error: UserError, place: Place) -> Iterator[Finding]:
    """Makes findings of what keeps a row from being written for the model.

    Args:
        error: Why it cannot be; each problem's ``where`` is a place within the row.
        place: Where the row stands.

    Yields:
        An error for each problem.
    """
    for problem in error.problems:
        refusal = Finding("row_refused", problem.what, problem.allowed, problem.fix)
        yield refusal.at(place, problem.where)


def list_problems(findings: Findings, severity: Severity = Severity.ERROR) -> Sequence[Problem]:
    """Writes the findings of one severity as problems, and counts those that are not printed.

    Args:
        findings: What was found.
        severity: Which of it.

    Returns:
        At most ``limit`` problems and, where more were found, one that counts all by kind.
    """
    printed = findings.printed(severity)
    problems = [finding.problem() for finding in printed]
    hidden = findings.total(severity) - sum(1 + finding.repeated for finding in printed)
    if hidden > 0:
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in findings.by_kind(severity).items())
        problems.append(Problem(f"{hidden:,} more not listed; all by kind: {kinds}."))
    return problems
