"""Alpaca: instruction, input and output; ``system`` and ``history`` as LLaMA-Factory adds them.

The instruction and, on a line of its own, the input are what the user says, as there:
https://llamafactory.readthedocs.io/en/latest/getting_started/data_preparation.html#alpaca
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.formats.checks import (
    check_filled_text,
    filled_text,
    join,
    optional_text,
    repeated,
    wrong_type,
)
from kfp_llm_tuning.components.data.formats.conversations import (
    Conversation,
    as_conversation,
    refuse_tools,
    refuse_weights,
    split_into_pairs,
)
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import Author, ChatRow, Message, Row, RowFormat

_FIELDS = ("instruction", "input", "output", "system", "history")
_KNOWN = ("instruction", "output")
_TITLE = "Alpaca"
_HISTORY = "a list of pairs, each a question and its answer"
_PAIR: tuple[Author, Author] = ("user", "assistant")


def _recognise(fields: Fields) -> bool:
    return "instruction" in fields.names and not {"output", "input"}.isdisjoint(fields.names)


def _read(fields: Fields, path: str, findings: list[Finding]) -> ChatRow | None:
    findings += repeated(fields, _FIELDS, path)
    conversation = Conversation(path, findings)
    system = optional_text(fields, "system", path, findings)
    _read_history(fields.find("history"), join(path, "history"), conversation, findings)
    conversation.add(
        Message("user", _read_question(fields, path, findings)), join(path, "instruction")
    )
    answer = filled_text(fields, "output", path, _KNOWN, findings)
    conversation.add(Message("assistant", answer or ""), join(path, "output"))
    return conversation.finish(system or UNSET)


def _read_question(fields: Fields, path: str, findings: list[Finding]) -> str:
    given = optional_text(fields, "input", path, findings)
    if given and fields.find("instruction") == "":
        return given
    instruction = filled_text(fields, "instruction", path, _KNOWN, findings) or ""
    return f"{instruction}\n{given}" if given else instruction


def _read_history(
    value: Any, path: str, conversation: Conversation, findings: list[Finding]
) -> None:
    if value is None:
        return
    if not isinstance(value, list):
        findings.append(wrong_type(value, path, _HISTORY))
        return
    for position, pair in enumerate(value):
        place = f"{path}[{position}]"
        if not isinstance(pair, list) or len(pair) != len(_PAIR):
            findings.append(wrong_type(pair, place, _HISTORY))
            continue
        for number, (author, said) in enumerate(zip(_PAIR, pair, strict=True)):
            where = f"{place}[{number}]"
            text = check_filled_text(said, where, findings) or ""
            conversation.add(Message(author, text), where)


def _write(row: Row) -> dict[str, Any]:
    row = as_conversation(row)
    refuse_tools(row, _TITLE)
    refuse_weights(row, _TITLE)
    *history, (asked, answered) = split_into_pairs(row, _TITLE)
    written: dict[str, Any] = {"instruction": asked, "input": "", "output": answered}
    if isinstance(row.context, str) and row.context:
        written["system"] = row.context
    if history:
        written["history"] = [list(pair) for pair in history]
    return written


ALPACA = Format(
    name=FormatName.ALPACA,
    title=_TITLE,
    row_format=RowFormat.CHAT,
    example='{"instruction": "...", "input": "...", "output": "..."}',
    required=("instruction", "output"),
    fields=_FIELDS,
    recognise=_recognise,
    read=_read,
    write=_write,
)
