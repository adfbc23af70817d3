"""Templates that do what no template should: each is told in words, within its limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.data.rendering import template_process as template_process_module
from kfp_llm_tuning.components.data.rendering import template_worker
from kfp_llm_tuning.components.data.rendering.template_process import (
    Conversation,
    TemplateError,
    TemplateLimitError,
    TemplateProcess,
    template_process,
)

CONVERSATION = Conversation([{"role": "user", "content": "hello"}], None, asks=True)
MEMORY = "needs more memory"
ENDLESS = "calls itself without end"


def render(template: str, conversation: Conversation = CONVERSATION) -> str:
    [text] = template_process().render(template, {"bos_token": "<s>"}, [conversation])
    if isinstance(text, TemplateError):
        raise text
    return text


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% import 'os' as os %}", "no loader"),
        ("{% for i in range(10**9) %}x{% endfor %}", "Range too big"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{{ nobody.name }}", "'nobody' is undefined"),
        ("{% if", "TemplateSyntaxError"),
        ("{{ raise_exception('images only') }}", "images only"),
    ],
)
def test_a_template_that_fails_says_why(template: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says):
        render(template)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ 'a' * 10**10 }}", MEMORY),
        ("{{ '%1000000000d' % 1 }}", MEMORY),
        ("{{ 'a' | center(10**11) }}", MEMORY),
        ("{{ [[1] * 10**8] * 10**8 }}", MEMORY),
        (
            "{% set n = namespace(x='a') %}{% for i in range(60) %}"
            "{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
            MEMORY,
        ),
        ("{{ 'a' * 10**7 }}", "writes 10,000,000 characters"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ENDLESS),
        ("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", ENDLESS),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", ENDLESS),
    ],
)
def test_a_template_that_takes_too_much_is_stopped(template: str, says: str) -> None:
    with pytest.raises(TemplateLimitError, match=says):
        render(template)


def test_a_template_that_computes_for_ever_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a limit so short that the test is; the next conversation is rendered all the same.

    The power is computed when the template is compiled, in one step that Python cannot interrupt.
    """
    template = "{{ 7 ** (10**9) }}"
    script = Path(template_worker.__file__).read_text(encoding="utf-8")
    impatient = tmp_path / "worker.py"
    impatient.write_text(script.replace("_PROCESSOR_SECONDS = 5", "_PROCESSOR_SECONDS = 0.3"))
    monkeypatch.setattr(template_worker, "__file__", str(impatient))
    process = TemplateProcess()
    with pytest.raises(TemplateLimitError, match="computes for longer"):
        process.render(template, {}, [CONVERSATION])
    assert process.render("{{ messages[0].content }}", {}, [CONVERSATION]) == ["hello"]


def test_a_long_conversation_has_room() -> None:
    long = "Ω" * 2_000_000
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert (
        render(template, Conversation([{"role": "user", "content": long}], None, asks=True)) == long
    )


def test_what_templates_may_refer_to() -> None:
    template = "{{ bos_token }}{{ messages[0].role }}{{ add_generation_prompt }}{{ tools }}"
    assert render(template) == "<s>userTrueNone"


def test_literals_are_the_texts_of_a_template() -> None:
    template = "{% generation %}a{% endgeneration %}{{ '<think>' + messages }}"
    assert set(template_process().literals(template).split("\0")) == {"a", "<think>"}


def test_conversations_that_begin_alike_are_written_as_each_alone() -> None:
    template = (
        "{{ tools }}{% for m in messages %}{{ m.content }}{% endfor %}{{ messages | length }}"
    )
    said = [{"role": "user", "content": word} for word in ("one", "two", "three")]
    tools = [{"name": "look"}]
    conversations = [
        Conversation(said[:1], None, asks=True),
        Conversation(said[:2], None, asks=False),
        Conversation(said, None, asks=True),
        Conversation(said[:2], tools, asks=True),
        Conversation(said, tools, asks=True),
        Conversation([dict(said[0])], tools, asks=True),
        CONVERSATION,
    ]
    together = template_process().render(template, {}, conversations)
    assert together == [render(template, one) for one in conversations]
    request = template_process_module._written_once(conversations)
    assert [len(messages) for messages, _ in request["said"]] == [1, 1, 3, 3]
