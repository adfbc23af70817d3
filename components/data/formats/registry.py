"""All formats, and which of them an object is a row of."""

from __future__ import annotations

from collections.abc import Sequence

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.formats.alpaca import ALPACA
from kfp_llm_tuning.components.data.formats.format import Format, UnwritableRowError
from kfp_llm_tuning.components.data.formats.gemini import GEMINI
from kfp_llm_tuning.components.data.formats.openai_chat import OPENAI
from kfp_llm_tuning.components.data.formats.preference import (
    CONVERSATIONAL_PREFERENCE,
    PREFERENCE,
)
from kfp_llm_tuning.components.data.formats.prompt_completion import (
    CONVERSATIONAL_PROMPT_COMPLETION,
    PROMPT_COMPLETION,
)
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.formats.sharegpt import SHAREGPT
from kfp_llm_tuning.components.data.reading.field_names import (
    list_names,
    misspelling_of,
    possible_names,
)
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import Row, RowFormat, TextRow

# The first that recognises an object is its format: what is told by more fields stands before.
FORMATS: tuple[Format, ...] = (
    CONVERSATIONAL_PREFERENCE,
    PREFERENCE,
    PUBLISHED_CHAT,
    OPENAI,
    GEMINI,
    SHAREGPT,
    PUBLISHED_TEXT,
    ALPACA,
    CONVERSATIONAL_PROMPT_COMPLETION,
    PROMPT_COMPLETION,
)


# In this order they are advised to those whose rows are in none.
_BY_KIND = (PUBLISHED_TEXT, PUBLISHED_CHAT, OPENAI, GEMINI, SHAREGPT, ALPACA, PROMPT_COMPLETION)


def formats_named(name: str) -> Sequence[Format]:
    """Lists the formats of a name: one, or one of texts and one of conversations."""
    return [each for each in FORMATS if each.name == name]


def format_of(fields: Fields, among: Sequence[Format] = FORMATS) -> Format | None:
    """Recognises the format of an object; None where it has none of those."""
    return next((each for each in among if each.recognise(fields)), None)


def possible_formats(fields: Fields, among: Sequence[Format] = FORMATS) -> list[Format]:
    """Lists the formats that an object may have: ``{"messages": []}`` may have two."""
    found = [each for each in among if each.recognise(fields)]
    return [each for each in found if each.required == found[0].required]


def write_row(row: Row, name: FormatName) -> dict[str, object]:
    """Writes a row in a format.

    Args:
        row: A text or a conversation.
        name: The format; of its two kinds, that of the row is taken.

    Returns:
        An object of JSON that is read as the row.

    Raises:
        UnwritableRowError: If the format has no place for something in the row.
    """
    kind = RowFormat.TEXT if isinstance(row, TextRow) else RowFormat.CHAT
    formats = formats_named(name)
    chosen = next((each for each in formats if each.row_format == kind), formats[0])
    return chosen.write(row)


def _recognise_nothing(fields: Fields) -> bool:
    return False


def _refuse(fields: Fields, path: str, findings: list[Finding]) -> None:
    """Names the fields of a row in no known format, and the format that is nearest."""
    names = list_names(fields.names)
    has = f"its fields are {names}" if names else "it has no fields"
    what = f"the row is in no known format: {has}."
    nearest = max(_BY_KIND, key=lambda each: _likeness(fields, each))
    if not _likeness(fields, nearest):
        others = dict.fromkeys(str(each.name) for each in _BY_KIND)
        asked, answered = PUBLISHED_TEXT.required
        fix = (
            f"Name what the model is given {asked}, and what it is to write {answered}; or write "
            f"rows as {', '.join(list(others)[1:])}."
        )
    else:
        fix = f"The nearest is {nearest.title}: {nearest.example}{_renamed(fields, nearest)}."
    findings.append(Finding("unknown_format", what, fix=fix, path=path))


def _likeness(fields: Fields, known: Format) -> float:
    found = [_place_of(fields, name, known) for name in known.required]
    return sum(map(bool, found)) / len(found)


def _renamed(fields: Fields, known: Format) -> str:
    pairs = [(_place_of(fields, name, known), name) for name in known.required]
    renames = [f"{found} to {name}" for found, name in pairs if found and found != name]
    return f" (rename {', '.join(renames)})" if renames else ""


def _place_of(fields: Fields, name: str, known: Format) -> str:
    if name in fields.names:
        return name
    return misspelling_of(name, possible_names(fields.names), known.required)


def _write_nothing(row: Row) -> dict[str, object]:
    raise UnwritableRowError("the format is unknown.")


UNKNOWN = Format(
    name=None,
    title="no known format",
    row_format=RowFormat.TEXT,
    example=" or ".join(each.example for each in (PUBLISHED_TEXT, OPENAI)),
    required=(),
    fields=(),
    recognise=_recognise_nothing,
    read=_refuse,
    write=_write_nothing,
)
