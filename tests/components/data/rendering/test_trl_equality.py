"""Tokens and labels are those of TRL 1.16 on the same rows, in the styles of known templates.

TRL trains a conversation's answers as rows of prompt and completion. Its trainer has the template
write the prompt, and prompt and completion together; labels are the tokens behind what both begin
with (`SFTTrainer._prepare_dataset`). Where ours must differ:

- What a template writes behind the token that ends an answer (a newline) is no label here: nothing
  is ever generated behind that token. TRL trains it.
- The empty block that Qwen 3's template writes before every answer without reasoning belongs to the
  prompt here, as it does where such a model is served without thinking. TRL trains it.
- A system message that a template refuses (Gemma) stands at the start of the first question. TRL
  has nothing to tokenise there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kfp_llm_tuning.components.data.rendering.examples import RowExample, RowRenderer
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.prompts import Example
from kfp_llm_tuning.components.data.rendering.reasoning import thinks
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
from kfp_llm_tuning.components.data.rows import ChatRow, Message, Row, ToolCall, answers
from tests.components.tool_tokenizers import STYLES, build_tool_tokenizer

DATA = Path(__file__).parents[4].parent / "shared" / "data"
EMPTY_BLOCK = "<think>\n\n</think>\n\n"

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
PARIS, ROME = (
    ToolCall("get_weather", {"city": city}, f"call0000{number}")
    for number, city in enumerate(["Paris", "Rome"])
)


def called(*calls: ToolCall, reasoning: str = "") -> list[Message]:
    """Asks for the weather, calls, is answered and answers."""
    told = [
        Message("tool", f"fine in {call.arguments['city']}", name=call.name, tool_call_id=call.id)
        for call in calls
    ]
    return [
        Message("user", "What is the weather?"),
        Message("assistant", "", reasoning, calls),
        *told,
        Message("assistant", "The weather is fine.", reasoning),
    ]


HELLO = [Message("user", "Hello!\n"), Message("assistant", "How may I help?")]
MORE = [*HELLO, Message("user", "Thanks."), Message("assistant", "Bye.")]
ROWS = {
    "turns": ChatRow(MORE),
    "context": ChatRow(MORE, context="Be kind."),
    "unused tools": ChatRow(MORE, tools=(WEATHER,)),
    "call": ChatRow([*called(PARIS), *HELLO], context="Be kind.", tools=(WEATHER,)),
    "two calls": ChatRow(called(PARIS, ROME), tools=(WEATHER,)),
    "reasoning": ChatRow([*called(PARIS, reasoning="Look it up."), *HELLO], tools=(WEATHER,)),
    "inline": ChatRow([HELLO[0], Message("assistant", "<think>\nHm.\n</think>\n\nHi")]),
    "system": ChatRow([*HELLO, Message("system", "Be short."), *HELLO]),
    "repeated": ChatRow([HELLO[0], Message("user", "Are you there?"), HELLO[1]]),
    "history": ChatRow([MORE[0], Message("assistant", "No.", learned=False), *MORE[2:]]),
}
EVERYWHERE = {"turns", "history", "inline"}
LLAMA = EVERYWHERE | {"context", "unused tools", "call", "system", "repeated"}
WRITES = {
    "llama": LLAMA,
    "llama-eom": LLAMA,
    "qwen": set(ROWS),
    "mistral": EVERYWHERE | {"context", "unused tools", "call", "two calls", "repeated"},
    "smol": EVERYWHERE | {"context", "system", "repeated"},
    "gemma": EVERYWHERE,
}


class Labelled(NamedTuple):
    """Tokens of prompt and completion, and where the labels begin."""

    ids: list[int]
    start: int


def as_roles(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as OpenAI's and TRL's rows have them, arguments as objects."""
    return [
        {
            "role": said.author,
            "content": said.content,
            **({"reasoning_content": said.reasoning} if said.reasoning else {}),
            **(
                {"tool_calls": [_call(call) for call in said.tool_calls]} if said.tool_calls else {}
            ),
            **({"name": said.name} if said.name else {}),
            **({"tool_call_id": said.tool_call_id} if said.tool_call_id else {}),
        }
        for said in messages
    ]


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"type": "function", "id": call.id, "function": function}


def trl_rows(row: ChatRow) -> Iterator[tuple[list[Any], list[Any]]]:
    """Prompt and completion of every learned answer."""
    told = [{"role": "system", "content": row.context}] if row.context else []
    for position, _ in answers(row):
        roles = as_roles(row.messages[: position + 1])
        yield [*told, *roles[:-1]], roles[-1:]


def trl(tokenizer: Any, row: ChatRow) -> list[Labelled]:
    """What TRL's trainer makes of a row; see the slow test for the trainer itself."""
    tools = list(row.tools) or None
    labelled = []
    for prompt, completion in trl_rows(row):
        asked, whole = (
            tokenizer.apply_chat_template(
                roles, tools=tools, add_generation_prompt=asks, tokenize=True, return_dict=False
            )
            for roles, asks in ((prompt, True), (prompt + completion, False))
        )
        pairs = zip(asked, whole, strict=False)
        start = next((at for at, (one, other) in enumerate(pairs) if one != other), len(asked))
        labelled.append(Labelled(whole, start))
    return labelled


def ours(tokenizer: Any, row: Row) -> list[Labelled]:
    """What this package makes of a row."""
    reasons = isinstance(row, ChatRow) and any(map(thinks, row.messages))
    formatter = prompt_formatter(tokenizer)
    if reasons and formatter.takes_reasoning:
        formatter = prompt_formatter(tokenizer, "chat_template_reasoning")
    written: list[RowExample[int]] = []
    renderer = RowRenderer(formatter, "", written.append)
    renderer.add(1, row)
    renderer.finish()
    tokenization = Tokenization(tokenizer, formatter, 10_000, 10_000)
    labelled = []
    for one in written:
        assert isinstance(one.example, Example), one.example
        [prompt] = tokenization.prompts([one.example.prompt], [one.head])
        [completion] = tokenization.completions([one.example.answer], [one.example.end])
        labelled.append(Labelled(prompt.ids + completion.ids, len(prompt.ids)))
    return labelled


def assert_equal(tokenizer: Any, own: Labelled, theirs: Labelled) -> None:
    """Compares tokens and labels, but for what the module's description names."""
    assert own.ids == theirs.ids[: len(own.ids)]
    assert tokenizer.decode(theirs.ids[len(own.ids) :]) in ("", "\n")
    assert tokenizer.decode(theirs.ids[theirs.start : own.start]) in ("", EMPTY_BLOCK)


@pytest.fixture(scope="module", params=list(STYLES))
def style(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def tokenizer(style: str) -> Any:
    return build_tool_tokenizer(style)


def test_rows_that_a_template_writes(style: str, tokenizer: Any) -> None:
    for name in sorted(WRITES[style]):
        row = ROWS[name]
        expected = trl(tokenizer, row)
        found = ours(tokenizer, row)
        assert len(found) == len(expected) == len(list(answers(row)))
        for own, theirs in zip(found, expected, strict=True):
            assert_equal(tokenizer, own, theirs)


def trainer_rows(tokenizer: Any, rows: Sequence[ChatRow], folder: Path) -> list[Labelled]:
    """What TRL's own trainer makes of rows."""
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    # Tools and calls vary from row to row: Arrow would fill their fields with nulls.
    examples = [
        {"prompt": prompt, "completion": completion, "tools": json.dumps(list(row.tools) or None)}
        for row in rows
        for prompt, completion in trl_rows(row)
    ]
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=len(tokenizer), num_attention_heads=1, **small)
    labelled = []
    for number, example in enumerate(examples):
        trainer = SFTTrainer(
            LlamaForCausalLM(config),
            SFTConfig(str(folder / str(number)), max_length=None, report_to=[], use_cpu=True),
            train_dataset=Dataset.from_list([example]),
            processing_class=tokenizer,
        )
        [encoded] = trainer.train_dataset
        start = next(at for at, label in enumerate(encoded["labels"]) if label != -100)
        assert encoded["labels"][start:] == encoded["input_ids"][start:]
        labelled.append(Labelled(encoded["input_ids"], start))
    return labelled


@pytest.mark.slow
def test_the_trainer_itself(style: str, tokenizer: Any, tmp_path: Path) -> None:
    """The rows above, and real ones: `trl` above and TRL's trainer do the same."""
    lines = [
        line
        for name in ("sgd/train_full_dialogues.jsonl", "clinc150/train.jsonl")
        for line in (DATA / name).read_text().splitlines()[:5]
    ]
    real = [_real_row(json.loads(line), has_context=style != "gemma") for line in lines]
    rows = [ROWS[name] for name in sorted(WRITES[style])] + real
    trained = trainer_rows(tokenizer, rows, tmp_path)
    assert trained == [labelled for row in rows for labelled in trl(tokenizer, row)]
    found = [labelled for row in rows for labelled in ours(tokenizer, row)]
    for own, theirs in zip(found, trained, strict=True):
        assert_equal(tokenizer, own, theirs)


def _real_row(row: dict[str, Any], has_context: bool) -> ChatRow:
    if "input_text" in row:
        turns = [("user", row["input_text"]), ("assistant", row["output_text"])]
    else:
        turns = [(said["author"], said["content"]) for said in row["messages"]]
    messages = [Message(author, content) for author, content in turns]  # type: ignore[arg-type]
    return ChatRow(messages, context=row.get("context", "") if has_context else "")
