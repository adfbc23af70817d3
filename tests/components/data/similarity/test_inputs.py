from __future__ import annotations

from kfp_llm_tuning.components.data.rows import ChatRow, Message, TextRow, ToolCall
from kfp_llm_tuning.components.data.similarity.inputs import input_and_output

QUESTION, ANSWER = Message("user", "Which team?"), Message("assistant", "billing")


def test_a_question_is_the_same_in_every_format() -> None:
    text = input_and_output(TextRow("Which team?", "billing"))
    assert text == ("Which team?", "output_text", "billing")
    chat = input_and_output(ChatRow([QUESTION, ANSWER]))
    assert chat == ("Which team?", "messages[1].content", "billing")


def test_all_that_was_said_before_the_last_learned_answer_is_asked() -> None:
    call = Message("assistant", "", tool_calls=(ToolCall("look", {"most": 1}),))
    told, unlearned = Message("tool", "A cat."), Message("assistant", "Bye.", learned=False)
    row = ChatRow([QUESTION, call, told, ANSWER, Message("user", "Thanks."), unlearned], "Be kind.")
    asked = 'Be kind.\nWhich team?\n[{"name":"look","arguments":{"most":1}}]\nA cat.'
    assert input_and_output(row) == (asked, "messages[3].content", "billing")
