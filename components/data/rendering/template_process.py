"""Renders chat templates in a process of their own, within limits of memory and processor time.

A chat template is a program of whoever made the model. It may loop, call itself, or write
gigabytes, for every conversation or only for some: see `template_worker.py` for the limits.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import cache
from operator import is_
from typing import IO, Any, NamedTuple

from kfp_llm_tuning.components.data.rendering import template_worker


class Conversation(NamedTuple):
    """A conversation as transformers' ``apply_chat_template`` takes it.

    Attributes:
        messages: With ``role``, ``content`` and what else templates read.
        tools: JSON schemas of functions; None where there are none: some templates write a
            heading for an empty list.
        asks: Whether the assistant's next message is asked for.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None
    asks: bool


class TemplateError(Exception):
    """The template raised an error for these conversations; it may render others."""


class TemplateLimitError(Exception):
    """The template went beyond its limits: it is not to be asked again."""


class TemplateProcess:
    """The process; started at first use, and again after a template made it end."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def render(
        self, template: str, variables: Mapping[str, str], conversations: Sequence[Conversation]
    ) -> list[str | TemplateError]:
        """Renders conversations.

        Args:
            template: The chat template.
            variables: What it may refer to besides messages, such as ``bos_token``.
            conversations: What is rendered.

        Returns:
            One text each, or why there is none.

        Raises:
            TemplateLimitError: If it took too much memory or time.
        """
        request = {"template": template, "variables": variables, **_written_once(conversations)}
        return [
            one["text"] if "text" in one else TemplateError(one["error"])
            for one in self._ask(request)["rendered"]
        ]

    def literals(self, template: str) -> str:
        """Gives all texts that stand in a template, with NUL between them.

        Args:
            template: The chat template.

        Returns:
            Its texts and string constants.

        Raises:
            TemplateError: If the template cannot be read.
            TemplateLimitError: If it took too much memory or time.
        """
        literals: str = self._ask({"template": template, "variables": {}})["literals"]
        return literals

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            worker = self._living_worker()
            try:
                answer = worker.ask(line)
            except BaseException:
                # Its answer, if any comes, would be taken for the next one's.
                worker.close()
                self._worker = None
                raise
        if "limit" in answer:
            raise TemplateLimitError(answer["limit"])
        if "error" in answer:
            raise TemplateError(answer["error"])
        return answer

    def _living_worker(self) -> _Worker:
        if self._worker is None or self._worker.owner != os.getpid():
            self._worker = _Worker()
        return self._worker


@cache
def template_process() -> TemplateProcess:
    """Gives the one process that this process renders in."""
    return TemplateProcess()


def _written_once(conversations: Sequence[Conversation]) -> dict[str, Any]:
    """Writes a request's conversations: those that another one begins with as a part of it."""
    longest: list[Conversation] = []
    parts = []
    for conversation in reversed(conversations):
        if not longest or not _begins_with(longest[-1], conversation):
            longest.append(conversation)
        parts.append((len(longest) - 1, len(conversation.messages), conversation.asks))
    return {"said": [(one.messages, one.tools) for one in longest], "conversations": parts[::-1]}


def _begins_with(longer: Conversation, shorter: Conversation) -> bool:
    return (
        longer.tools is shorter.tools
        and len(longer.messages) >= len(shorter.messages)
        and all(map(is_, longer.messages, shorter.messages))
    )


class _Worker:
    """One run of the worker's script.

    Attributes:
        owner: The process that may talk to it; a fork of that may not.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        # What it says before it ends; a pipe that nobody reads would fill.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", template_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._finalizer = weakref.finalize(self, _end, self._process, self._complaints, self.owner)
        if self._read() != template_worker.READY:
            raise self._not_started()

    def ask(self, line: bytes) -> dict[str, Any]:
        """Sends a request and waits for its answer."""
        requests = self._process.stdin
        assert requests is not None
        # A process that has ended is told by its missing answer.
        with contextlib.suppress(BrokenPipeError):
            requests.write(line)
            requests.flush()
        answer = self._read()
        if answer is None:
            raise TemplateLimitError(self._why_ended())
        assert isinstance(answer, dict)
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._finalizer()

    def _read(self) -> Any:
        answers = self._process.stdout
        assert answers is not None
        line = answers.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def _why_ended(self) -> str:
        code = self._process.wait()
        if code == -signal.SIGPROF:
            return "it computes for longer than any conversation needs"
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the process that renders it ended ({name})"

    def _not_started(self) -> RuntimeError:
        self._process.wait()
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace")[-2000:]
        self.close()
        return RuntimeError(f"the process for chat templates did not start: {said}")


def _end(process: subprocess.Popen[bytes], complaints: IO[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return
    process.kill()
    for stream in (process.stdin, process.stdout, complaints):
        # Closing writes what was not yet taken, to a process that is no more.
        with contextlib.suppress(OSError):
            if stream:
                stream.close()
    process.wait()
