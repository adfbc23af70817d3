"""The instances of a prediction: texts, code and conversations, in the published shapes."""

from __future__ import annotations

from kfp_llm_tuning.components.data.rows import Message
from kfp_llm_tuning.components.generation.instances import Instance, text_instance
from kfp_llm_tuning.components.serving.prompting import PromptInput
from kfp_llm_tuning.components.serving.request_fields import Fields, shown

_TEXT_FIELDS = ("content", "prompt")
# What clients and the published documentation call the two sides; case does not matter.
_AUTHORS = {
    "user": "user",
    "bot": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "assistant",
}
_TURNS = ("user", "assistant")


def read_instance(fields: Fields) -> PromptInput:
    """Takes one instance.

    Args:
        fields: The instance; takes note of mistakes.

    Returns:
        What is asked; senseless where mistakes were noted.
    """
    if fields.has("messages"):
        prompt_input = _chat(fields)
    elif fields.has("prefix"):
        prefix = fields.text("prefix", empty=False)
        suffix = fields.text("suffix", default="")
        prompt_input = PromptInput(fields.where, text_instance(prefix), suffix)
    else:
        prompt_input = PromptInput(fields.where, text_instance(_text(fields)))
    fields.finish()
    return prompt_input


def _text(fields: Fields) -> str:
    given = [name for name in _TEXT_FIELDS if fields.has(name)]
    if len(given) > 1:
        fields.complain("prompt", "is another name of content: give one of them.")
    return fields.text((given or _TEXT_FIELDS)[0], empty=False)


def _chat(fields: Fields) -> PromptInput:
    messages = [message for example in fields.objects("examples") for message in _example(example)]
    messages += _messages(fields)
    context = fields.text("context", default="")
    return PromptInput(fields.where, Instance(tuple(messages), context, is_chat=True))


def _example(fields: Fields) -> list[Message]:
    """Takes an example: a prompt and its answer, which stand before the conversation."""
    messages = [
        _example_message(fields, side, author)
        for side, author in zip(("input", "output"), _TURNS, strict=True)
    ]
    fields.finish()
    return messages


def _example_message(fields: Fields, side: str, author: str) -> Message:
    message = fields.object(side)
    if message is None:
        if not fields.has(side):
            fields.complain(side, "is missing.", 'an object with "content"')
        return _message(author, "")
    content = message.text("content", empty=author == "assistant")
    # The field has this name in the published examples; which side speaks is known without it.
    message.ignore(["author"])
    message.finish()
    return _message(author, content)


def _messages(fields: Fields) -> list[Message]:
    taken = fields.objects("messages")
    messages = [_message_at(index, message) for index, message in enumerate(taken)]
    if fields.take("messages") == []:
        fields.complain("messages", "is empty.", "messages of user and bot in turns")
    elif messages and len(messages) % 2 == 0:
        taken[-1].complain("author", "the last message must be the user's.", "user")
    return messages


def _message_at(index: int, fields: Fields) -> Message:
    expected = _TURNS[index % 2]
    author = fields.text("author")
    side = _AUTHORS.get(author.lower())
    if author and side is None:
        fields.complain("author", f"{shown(author)} is nobody.", ", ".join(_AUTHORS))
    elif author and side != expected:
        what = f"{shown(author)} is not whose turn it is: user and bot take turns."
        fields.complain("author", what, "user" if expected == "user" else "bot")
    # A model may have answered nothing, and clients send that back as history.
    content = fields.text("content", empty=expected == "assistant")
    fields.finish()
    return _message(expected, content)


def _message(author: str, content: str) -> Message:
    return Message("user" if author == "user" else "assistant", content)
