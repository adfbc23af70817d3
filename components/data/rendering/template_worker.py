"""The process that renders chat templates: what a template does, it does here.

Reads one request a line from standard input, and answers each with a line on standard output, both
JSON. A template is code that came with a model: the sandbox keeps it from this machine's files, and
the limits below from its memory and processors. They hold whatever a template does, since the
operating system keeps them.

Started by `template_process.py` as a script: it imports nothing of this package.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
from typing import Any

READY = "ready"
# Characters of an error's text that are told.
_COMPLAINT = 300
# Beyond what the process takes by itself, and as much again for every byte of the request: a text
# that is not ASCII is held several times over, in four bytes a character.
_MEMORY_BYTES = 256 * 2**20
_MEMORY_FACTOR = 48
# Most characters written; a template writes the words of a conversation once, and its own around.
_OWN_CHARACTERS = 2**20
_CHARACTERS_A_BYTE = 8
# Templates of real models take less than a millisecond for a conversation of ordinary length.
_PROCESSOR_SECONDS = 5
_BYTES_A_SECOND = 2**20


def main() -> None:
    """Answers requests until standard input ends."""
    # Ctrl-C in a terminal reaches this process too: the one that started it decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from transformers.utils import chat_template_utils  # noqa: F401

    own_bytes = _address_space()
    print(json.dumps(READY), flush=True)  # noqa: T201
    for line in sys.stdin.buffer:
        _limit(own_bytes, len(line))
        answer = _answer(line)
        _lift_limits()
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


def _answer(line: bytes) -> bytes:
    most_characters = _OWN_CHARACTERS + _CHARACTERS_A_BYTE * len(line)
    try:
        return json.dumps(_render(json.loads(line), most_characters)).encode()
    except MemoryError:
        return json.dumps({"limit": "it needs more memory than a conversation can"}).encode()
    except RecursionError:
        return json.dumps({"limit": "it calls itself without end"}).encode()
    # A template that cannot even be read.
    except Exception as error:
        return json.dumps(_complaint(error)).encode()


def _render(request: dict[str, Any], most_characters: int) -> dict[str, Any]:
    from transformers.utils.chat_template_utils import (
        _get_template_literal_text,
        render_jinja_template,
    )

    template, variables = request["template"], request["variables"]
    if "conversations" not in request:
        return {"literals": _get_template_literal_text(template)}
    rendered: list[dict[str, str]] = []
    # Each is the beginning of something said: templates cannot change what they are given.
    for number, length, asks in request["conversations"]:
        messages, tools = request["said"][number]
        try:
            [text], _ = render_jinja_template(
                [messages[:length]],
                tools=tools,
                chat_template=template,
                add_generation_prompt=asks,
                **variables,
            )
        except (MemoryError, RecursionError):
            raise
        # Whatever a template raises is the template's fault, or the conversation's.
        except Exception as error:
            rendered.append(_complaint(error))
            continue
        if len(text) > most_characters:
            return {"limit": f"it writes {len(text):,} characters for one conversation"}
        rendered.append({"text": text})
    return {"rendered": rendered}


def _complaint(error: Exception) -> dict[str, str]:
    return {"error": f"{type(error).__name__}: {error}"[:_COMPLAINT]}


def _limit(own_bytes: int, request_bytes: int) -> None:
    seconds = _PROCESSOR_SECONDS + request_bytes / _BYTES_A_SECOND
    # The signal's default action ends the process, in the middle of whatever it computes.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    _set_address_space(own_bytes + _MEMORY_BYTES + _MEMORY_FACTOR * request_bytes)


def _lift_limits() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    _set_address_space(resource.getrlimit(resource.RLIMIT_AS)[1])


def _address_space() -> int:
    """Bytes that the process has mapped."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123
            return int(stream.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 2**30


def _set_address_space(size: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY and size > hard:
        size = hard
    # macOS has the limit, and does not let it be set; the processor's limit holds there.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (size, hard))


if __name__ == "__main__":
    main()
