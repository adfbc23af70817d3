"""Malformed, oversized and adversarial requests, each with what must be told of it.

The server has byte-tiny with prompts of at most 1,024 tokens and answers of at most 64.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PREDICT, CHAT, COMPLETIONS = "/predict", "/v1/chat/completions", "/v1/completions"
ROUTES = (PREDICT, CHAT, COMPLETIONS)
MODEL = "byte-tiny"
TOO_LONG = 10 * 1024 * 1024 + 1
# More than uvicorn takes, and no more than it reads before it says so: to close a connection on
# what was not read would reset it, and lose the answer.
_LONG_HEAD = 20_000


@dataclass(frozen=True)
class Case:
    """A request that must be refused.

    Attributes:
        name: What is wrong with it.
        told: What the reason must name: a place, or the kind of mistake.
        path: Where it goes.
        body: What is sent.
        method: How.
        headers: Besides Content-Length.
        status: What must be answered.
        raw: All bytes of the connection, in the place of everything else.
    """

    name: str
    told: str
    path: str = PREDICT
    body: bytes = b""
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    status: int = 400
    raw: bytes = b""


def cases() -> list[Case]:
    """Lists all requests."""
    return [
        *_bodies(),
        *_instances(),
        *_parameters(),
        *_predictions(),
        *_chats(),
        *_completions(),
        *_sampling_of_openai(),
        *_oversized(),
        *_paths_and_methods(),
        *_connections(),
    ]


def _json(name: str, told: str, path: str, body: Any, status: int = 400) -> Case:
    return Case(name, told, path, json.dumps(body).encode(), status=status)


_BODIES: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "body is empty"),
    ("blanks", b" \t\r\n", "body is empty"),
    ("a byte order mark alone", b"\xef\xbb\xbf", "not JSON"),
    ("null", b"null", "no JSON object"),
    ("true", b"true", "no JSON object"),
    ("a number", b"42", "no JSON object"),
    ("a text", b'"instances"', "no JSON object"),
    ("a list", b"[{}]", "no JSON object"),
    ("an open brace", b"{", "not JSON"),
    ("an object cut off", b'{"instances": [{"content": "a', "not JSON"),
    ("a trailing comma", b'{"instances": [],}', "not JSON"),
    ("a missing comma", b'{"a": 1 "b": 2}', "not JSON"),
    ("a missing colon", b'{"a" 1}', "not JSON"),
    ("single quotes", b"{'instances': []}", "not JSON"),
    ("a name without quotes", b"{instances: []}", "not JSON"),
    ("a comment", b'{"instances": [] /* all */}', "not JSON"),
    ("two objects", b"{}{}", "not JSON"),
    ("lines of objects", b'{"content": "a"}\n{"content": "b"}\n', "not JSON"),
    ("a line end within a text", b'{"a": "b\nc"}', "not JSON"),
    ("a null character within a text", b'{"a": "b\x00c"}', "not JSON"),
    ("a null character around it", b"\x00{}\x00", "not JSON"),
    ("an unknown escape", rb'{"a": "\x41"}', "not JSON"),
    ("half an escape", rb'{"a": "\u12"}', "not JSON"),
    ("NaN", b'{"a": NaN}', "NaN is not JSON"),
    ("infinity", b'{"a": [Infinity]}', "Infinity is not JSON"),
    ("less than infinity", b'{"a": -Infinity}', "-Infinity is not JSON"),
    ("a hexadecimal number", b'{"a": 0x10}', "not JSON"),
    ("a leading zero", b'{"a": 010}', "not JSON"),
    ("a plus", b'{"a": +1}', "not JSON"),
    ("a number without an end", b'{"a": 1.}', "not JSON"),
    ("an integer of 5000 digits", b'{"a": ' + b"7" * 5000 + b"}", "not JSON"),
    ("a repeated field", b'{"model": "a", "model": "b"}', "'model' stands twice"),
    ("a repeated field deep inside", b'{"a": [{"b": {"c": 1, "c": 1}}]}', "'c' stands twice"),
    ("bytes that are no UTF-8", b'{"a": "\xff\xfe"}', "not UTF-8 at byte 7"),
    ("Latin-1", '{"a": "Zürich"}'.encode("latin-1"), "not UTF-8"),
    ("UTF-8 cut off", b'{"a": "\xf0\x9f\x98"}', "not UTF-8"),
    ("an overlong slash", b'{"a": "\xc0\xaf"}', "not UTF-8"),
    ("a surrogate as UTF-8", b'{"a": "\xed\xa0\xbd\xed\xb8\x80"}', "not UTF-8"),
    ("beyond Unicode", b'{"a": "\xf4\x90\x80\x80"}', "not UTF-8"),
    ("UTF-16", '{"a": 1}'.encode("utf-16"), "not UTF-8"),
    ("UTF-32", '{"a": 1}'.encode("utf-32"), "not"),
    ("a high surrogate", rb'{"a": "\ud83d"}', "a: half of a surrogate pair"),
    ("a low surrogate", rb'{"a": ["b", "\ude00"]}', "a[1]: half of a surrogate pair"),
    ("surrogates the wrong way round", rb'{"a": {"b": "\ude00\ud83d"}}', "a.b: half"),
    ("a surrogate in a name", rb'{"\ud800": 1}', "half of a surrogate pair"),
    ("many open brackets", b'{"a": ' + b"[" * 90_000, "nested too deeply"),
    ("closed ones", b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested too deeply"),
    ("a hundred thousand braces", b'{"a":' * 100_000, "nested too deeply"),
    ("a form", b"instances=%5B%5D&parameters=%7B%7D", "not JSON"),
    ("XML", b"<instances><content>a</content></instances>", "not JSON"),
    ("YAML", b"instances:\n- content: a\n", "not JSON"),
    ("gzip", gzip.compress(b'{"instances": []}', mtime=0), "not UTF-8"),
    ("a picture", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not UTF-8"),
]


def _bodies() -> Iterator[Case]:
    for name, body, told in _BODIES:
        yield Case(f"{PREDICT}: {name}", told, PREDICT, body)
    # Whatever the API, it is the same reader: one mistake shows that a route asks it.
    name, body, told = next(one for one in _BODIES if one[0] == "a repeated field")
    for path in (CHAT, COMPLETIONS):
        yield Case(f"{path}: {name}", told, path, body)


_USER = {"author": "user", "content": "a"}
_BOT = {"author": "bot", "content": "b"}
_INSTANCES: list[tuple[str, Any, str]] = [
    ("null", None, ": null is no object"),
    ("a text", "Hello", ": 'Hello' is no object"),
    ("a number", 5, ": 5 is no object"),
    ("a list", [_USER], ": a list is no object"),
    ("nothing in it", {}, ".content: is missing"),
    ("an unknown field", {"text": "a"}, ".text: no such field"),
    ("a training row", {"input_text": "a", "output_text": "b"}, ".input_text: no such field"),
    ("a field of another language", {"内容": "a"}, ".内容: no such field"),
    ("a prototype", {"content": "a", "__proto__": {}}, ".__proto__: no such field"),
    ("a name of 100,000 letters", {"content": "a", "x" * 100_000: 1}, "no such field"),
    ("a name with a null character", {"content": "a", "b\0": 1}, "no such field"),
    ("100,000 fields", {f"f{n}": n for n in range(100_000)}, ".f0: no such field"),
    ("content null", {"content": None}, ".content: is missing"),
    ("content empty", {"content": ""}, ".content: is empty"),
    ("content a number", {"content": 1.5}, ".content: 1.5 is no text"),
    ("content a boolean", {"content": False}, ".content: false is no text"),
    ("content a list", {"content": ["a"]}, ".content: a list is no text"),
    ("content an object", {"content": {"text": "a"}}, ".content: an object is no text"),
    ("prompt a list", {"prompt": [[]]}, ".prompt: a list is no text"),
    ("content and prompt", {"content": "a", "prompt": "b"}, ".prompt: is another name"),
    ("prefix empty", {"prefix": ""}, ".prefix: is empty"),
    ("prefix a number", {"prefix": 0}, ".prefix: 0 is no text"),
    ("suffix a list", {"prefix": "a", "suffix": []}, ".suffix: a list is no text"),
    ("suffix alone", {"suffix": "a"}, ".suffix: no such field"),
    ("a gap to fill", {"prefix": "a", "suffix": "b"}, "tokens for filling a gap"),
    ("messages a text", {"messages": "a"}, ".messages: 'a' is no list"),
    ("messages an object", {"messages": _USER}, ".messages: an object is no list"),
    ("messages true", {"messages": True}, ".messages: true is no list"),
    ("no messages", {"messages": []}, ".messages: is empty"),
    ("a message null", {"messages": [None]}, ".messages[0]: null is no object"),
    ("a message a list", {"messages": [[_USER]]}, ".messages[0]: a list is no object"),
    ("no author", {"messages": [{"content": "a"}]}, ".messages[0].author: is missing"),
    ("author null", {"messages": [{**_USER, "author": None}]}, ".messages[0].author: is missing"),
    ("author a number", {"messages": [{**_USER, "author": 7}]}, ".messages[0].author: 7 is no"),
    ("author unknown", {"messages": [{**_USER, "author": "me"}]}, ".messages[0].author: 'me' is"),
    ("author in Cyrillic", {"messages": [{**_USER, "author": "usеr"}]}, ".messages[0].author"),
    ("author with a blank", {"messages": [{**_USER, "author": "user "}]}, ".messages[0].author"),
    ("the bot first", {"messages": [_BOT, _USER]}, ".messages[0].author"),
    ("the bot last", {"messages": [_USER, _BOT]}, ".messages[1].author: the last message"),
    ("the user twice", {"messages": [_USER, _USER, _USER]}, ".messages[1].author: 'user' is not"),
    ("no content", {"messages": [{"author": "user"}]}, ".messages[0].content: is missing"),
    ("said nothing", {"messages": [{**_USER, "content": ""}]}, ".messages[0].content: is empty"),
    ("said a list", {"messages": [{**_USER, "content": []}]}, ".messages[0].content: a list"),
    ("a role", {"messages": [{"role": "user", "content": "a"}]}, ".messages[0].role: no such"),
    ("context a list", {"messages": [_USER], "context": []}, ".context: a list is no text"),
    ("examples a text", {"messages": [_USER], "examples": "a"}, ".examples: 'a' is no list"),
    ("an example null", {"messages": [_USER], "examples": [None]}, ".examples[0]: null is no"),
    ("an empty example", {"messages": [_USER], "examples": [{}]}, ".examples[0].input: is missing"),
    ("half an example", {"messages": [_USER], "examples": [{"input": 1}]}, ".examples[0].input: 1"),
]


def _instances() -> Iterator[Case]:
    for name, instance, told in _INSTANCES:
        body = {"instances": [{"content": "fine"}, instance]}
        place = told if told.startswith(("tokens", "no such")) else f"instances[1]{told}"
        yield _json(f"instance: {name}", place, PREDICT, body)


# Values of every kind that none of the parameters takes. All are read in the same way: one of them
# is asked for everything, the others are shown to be read so, and to have a limit.
_NEVER: list[tuple[str, Any]] = [
    ("a text", "1"),
    ("a boolean", True),
    ("a list", [1]),
    ("an object", {"value": 1}),
    ("far too much", 1e308),
    ("far too little", -1e308),
    ("an integer of 400 digits", 10**400),
]
_SOME_NEVER = [one for one in _NEVER if one[0] in ("a text", "far too much")]
_NUMBERS = (
    *("temperature", "topP", "topK", "maxOutputTokens", "maxDecodeSteps", "candidateCount"),
    *("logprobs", "presencePenalty", "frequencyPenalty", "seed"),
)
_PARAMETERS: list[tuple[str, dict[str, Any], str]] = [
    ("an infinite temperature", {"temperature": "Infinity"}, ".temperature"),
    ("a half token", {"maxOutputTokens": 1.5}, ".maxOutputTokens: 1.5 is no whole number"),
    ("no token", {"maxOutputTokens": 0}, ".maxOutputTokens: 0 is out of range"),
    ("too many tokens", {"maxOutputTokens": 65}, ".maxOutputTokens: 65 is out of range"),
    ("two limits", {"maxOutputTokens": 5, "maxDecodeSteps": 6}, ".maxOutputTokens: differs"),
    ("no candidate", {"candidateCount": 0}, ".candidateCount: 0"),
    ("nine candidates", {"candidateCount": 9}, ".candidateCount: 9"),
    ("half a candidate", {"candidateCount": 0.5}, ".candidateCount: 0.5 is no whole number"),
    ("topK 0", {"topK": 0}, ".topK: 0 is out of range"),
    ("topP above 1", {"topP": 1.0001}, ".topP: 1.0001 is out of range"),
    ("a negative share", {"topP": -0.1}, ".topP: -0.1 is out of range"),
    ("six logprobs", {"logprobs": 6}, ".logprobs: 6"),
    ("a fraction as a seed", {"seed": 0.1}, ".seed: 0.1 is no whole number"),
    ("a seed of 65 bits", {"seed": 2**64}, ".seed: 18446744073709551616 is out of range"),
    ("stop an object", {"stopSequences": {}}, ".stopSequences: an object"),
    ("stop a number", {"stopSequences": 5}, ".stopSequences: 5"),
    ("stop at nothing", {"stopSequences": [""]}, ".stopSequences[0]: is empty"),
    ("stop at null", {"stopSequences": ["a", None]}, ".stopSequences[1]: null is no text"),
    ("six stops", {"stopSequences": list("abcdef")}, ".stopSequences: 6 are too many"),
    ("100,000 stops", {"stopSequences": ["a"] * 100_000}, ".stopSequences: 100000 are too many"),
    ("a stop of 100,000 letters", {"stopSequences": ["a" * 100_000]}, ".stopSequences[0]: has"),
    ("bias a list", {"logitBias": [[5, 1]]}, ".logitBias: a list is no object"),
    ("bias for a word", {"logitBias": {"the": 1}}, ".logitBias.the: 'the' is no token id"),
    ("bias for no token", {"logitBias": {"259": 1}}, ".logitBias.259"),
    ("bias for a negative token", {"logitBias": {"-1": 1}}, ".logitBias.-1"),
    ("bias for digits of another script", {"logitBias": {"٥": 1}}, ".logitBias.٥"),
    ("bias for a long number", {"logitBias": {"1" * 10_000: 1}}, ".logitBias.1111"),
    ("too strong a bias", {"logitBias": {"5": -100.5}}, ".logitBias.5: -100.5 is no bias"),
    ("bias true", {"logitBias": {"5": True}}, ".logitBias.5: true is no bias"),
    (
        "10,000 bad biases",
        {"logitBias": {f"a{n}": n for n in range(10_000)}},
        ".logitBias: has 10000 fields",
    ),
    ("echo a text", {"echo": "yes"}, ".echo: 'yes' is no boolean"),
    ("echo a number", {"echo": 1}, ".echo: 1 is no boolean"),
    ("a search", {"groundingConfig": {"sources": [{"type": "WEB"}]}}, ".groundingConfig"),
    ("a search by name", {"groundingConfig": "WEB"}, ".groundingConfig"),
    ("snake case", {"max_output_tokens": 5}, "Did you mean maxOutputTokens?"),
    ("lower case", {"topp": 0.5}, "Did you mean topP?"),
    ("of another API", {"safetySettings": []}, ".safetySettings: no such field"),
    ("an empty name", {"": 5}, "parameters.: no such field"),
]


def _parameters() -> Iterator[Case]:
    def case(name: str, parameters: Any, told: str) -> Case:
        body = {"instances": [{"content": "a"}], "parameters": parameters}
        place = f"parameters{told}" if told.startswith((".", ":")) else told
        return _json(f"parameters: {name}", place, PREDICT, body)

    for parameter in _NUMBERS:
        for name, value in _NEVER if parameter == "temperature" else _SOME_NEVER:
            yield case(f"{parameter} {name}", {parameter: value}, f".{parameter}: ")
    for name, parameters, told in _PARAMETERS:
        yield case(name, parameters, told)
    for name, parameters in (("a list", [1]), ("a text", "a"), ("a number", 0), ("false", False)):
        yield case(f"are {name}", parameters, ": ")


def _predictions() -> Iterator[Case]:
    fine = [{"content": "a"}]
    for name, body, told in [
        ("no instances", {}, "instances: is missing"),
        ("instances null", {"instances": None}, "instances: is missing"),
        ("instances empty", {"instances": []}, "instances: has 0 items"),
        ("instances an object", {"instances": fine[0]}, "instances: an object is no list"),
        ("instances a text", {"instances": "a"}, "instances: 'a' is no list"),
        ("instances a number", {"instances": 1}, "instances: 1 is no list"),
        ("instance", {"instance": fine[0]}, "Did you mean instances?"),
        ("an unknown field", {"instances": fine, "x": 1}, "x: no such field"),
        ("stream a text", {"instances": fine, "stream": "true"}, "stream: 'true' is no boolean"),
        ("a stream of two", {"instances": fine * 2, "stream": True}, "stream: only one"),
        ("an unknown format", {"instances": [{"@requestFormat": "a"}]}, "@requestFormat: 'a'"),
        ("a format null", {"instances": [{"@requestFormat": None}]}, "@requestFormat: null"),
        ("two of a format", {"instances": [{"@requestFormat": "a"}] * 2}, "only one instance"),
        ("10,000 instances", {"instances": fine * 10_000}, "instances: has 10000 items"),
        ("100,000 nulls", {"instances": [None] * 100_000}, "instances: has 100000 items"),
        ("200 bad instances", {"instances": [5] * 200}, "instances[19]: 5 is no object"),
    ]:
        yield _json(f"prediction: {name}", told, PREDICT, body)
    many = {"instances": fine * 200, "parameters": {"candidateCount": 8}}
    yield _json("prediction: 1600 answers", "1600 answers are asked for", PREDICT, many)


_ASKED = {"role": "user", "content": "a"}
_ANSWERED = {"role": "assistant", "content": "b"}
_MESSAGES: list[tuple[str, Any, str]] = [
    ("null", None, "messages: is missing"),
    ("empty", [], "messages: there is no message"),
    ("a text", "a", "messages: 'a' is no list"),
    ("a message null", [None], "messages[0]: null is no object"),
    ("a message a text", ["a"], "messages[0]: 'a' is no object"),
    ("no role", [{"content": "a"}], "messages[0].role: is missing"),
    ("role a number", [{**_ASKED, "role": 1}], "messages[0].role: 1 is no text"),
    ("role unknown", [{**_ASKED, "role": "bot"}], "messages[0].role: 'bot' is nobody"),
    ("role upper case", [{**_ASKED, "role": "USER"}], "messages[0].role: 'USER' is nobody"),
    ("a tool's", [_ASKED, {"role": "tool", "content": "a"}], "messages[1].role: 'tool'"),
    ("no content", [{"role": "user"}], "messages[0].content: is missing"),
    ("content null", [{**_ASKED, "content": None}], "messages[0].content: is missing"),
    ("content empty", [{**_ASKED, "content": ""}], "messages[0].content: is empty"),
    ("content a number", [{**_ASKED, "content": 1}], "messages[0].content: 1 is no text"),
    ("content an object", [{**_ASKED, "content": {}}], "messages[0].content: an object"),
    ("no parts", [{**_ASKED, "content": []}], "messages[0].content: holds no text"),
    ("a part null", [{**_ASKED, "content": [None]}], "messages[0].content[0]: null"),
    (
        "a part without type",
        [{**_ASKED, "content": [{"text": "a"}]}],
        "content[0].type: is missing",
    ),
    ("a picture", [{**_ASKED, "content": [{"type": "image_url"}]}], "content[0].type: 'image_url'"),
    ("sound", [{**_ASKED, "content": [{"type": "input_audio"}]}], "content[0].type"),
    ("a part of no text", [{**_ASKED, "content": [{"type": "text"}]}], "content[0].text: is"),
    ("only instructions", [{"role": "system", "content": "a"}], "messages: there is no message"),
    ("the assistant first", [_ANSWERED, _ASKED], "messages[0].role: the conversation must"),
    ("the assistant last", [_ASKED, _ANSWERED], "messages[1].role: the last message"),
    ("late instructions", [_ASKED, {"role": "system", "content": "a"}, _ASKED], "messages[1].role"),
    ("a call of a tool", [_ASKED, {**_ANSWERED, "tool_calls": [{}]}, _ASKED], "[1].tool_calls"),
    ("an author", [{**_ASKED, "author": "user"}], "messages[0].author: no such field"),
]
_CHAT_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("tools", {"tools": [{"type": "function"}]}, "tools: this server's models call no tools"),
    ("a forced tool", {"tool_choice": "required"}, "tool_choice"),
    ("functions", {"functions": [{"name": "f"}]}, "functions"),
    ("JSON", {"response_format": {"type": "json_object"}}, "response_format"),
    ("a schema", {"response_format": {"type": "json_schema"}}, "response_format"),
    ("a format by name", {"response_format": "text"}, "response_format"),
    ("sound", {"modalities": ["text", "audio"]}, "modalities"),
    ("a voice", {"audio": {"voice": "a"}}, "audio"),
    ("a search", {"web_search_options": {}}, "web_search_options"),
    ("effort", {"reasoning_effort": "high"}, "reasoning_effort"),
    ("logprobs a number", {"logprobs": 5}, "logprobs: 5 is no boolean"),
    ("likeliest without", {"top_logprobs": 5}, "top_logprobs: is for logprobs"),
    ("21 likeliest", {"logprobs": True, "top_logprobs": 21}, "top_logprobs: 21 is out of range"),
    ("two limits", {"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens: differs"),
    ("no token", {"max_completion_tokens": 0}, "max_completion_tokens: 0 is out of range"),
    ("options without a stream", {"stream_options": {}}, "stream_options: is for streams"),
    ("options a list", {"stream": True, "stream_options": []}, "stream_options: a list"),
    ("an unknown option", {"stream": True, "stream_options": {"a": 1}}, "stream_options.a"),
    ("usage a text", {"stream": True, "stream_options": {"include_usage": "a"}}, ".include_usage"),
    ("a published name", {"maxOutputTokens": 5}, "maxOutputTokens: no such field"),
]


def _chats() -> Iterator[Case]:
    for name, messages, told in _MESSAGES:
        yield _json(f"messages: {name}", told, CHAT, {"model": MODEL, "messages": messages})
    for name, fields, told in _CHAT_FIELDS:
        body = {"model": MODEL, "messages": [_ASKED], **fields}
        yield _json(f"chat: {name}", told, CHAT, body)
    for name, model, status in (
        ("no model", None, 400),
        ("a model of a number", 5, 400),
        ("another model", "gpt-4o", 404),
        ("the model upper case", MODEL.upper(), 404),
        ("the model with a blank", f"{MODEL} ", 404),
        ("a path as a model", "../../etc/passwd", 404),
        ("a model of 100,000 letters", "a" * 100_000, 404),
    ):
        body = {"model": model, "messages": [_ASKED]}
        yield _json(f"chat: {name}", "model: ", CHAT, body, status)


def _completions() -> Iterator[Case]:
    for name, fields, told in [
        ("no prompt", {}, "prompt: is missing"),
        ("prompt null", {"prompt": None}, "prompt: is missing"),
        ("prompt empty", {"prompt": ""}, "prompt: is empty"),
        ("prompt no list", {"prompt": []}, "prompt: is empty"),
        ("prompt a number", {"prompt": 5}, "prompt: 5 is no prompt"),
        ("prompt true", {"prompt": True}, "prompt: true is no prompt"),
        ("prompt an object", {"prompt": {"text": "a"}}, "prompt: an object is no prompt"),
        ("an empty prompt among others", {"prompt": ["a", ""]}, "prompt[1]: is empty"),
        ("a null among prompts", {"prompt": ["a", None]}, "prompt[1]: null is no prompt"),
        ("texts and tokens", {"prompt": ["a", 5]}, "prompt[1]: 5 is no prompt"),
        ("no token", {"prompt": [[]]}, "prompt[0]: is empty"),
        ("a token beyond", {"prompt": [259]}, "prompt: not all items are token ids"),
        ("a token below", {"prompt": [-1]}, "prompt: not all items are token ids"),
        ("half a token", {"prompt": [1.5]}, "prompt: not all items are token ids"),
        ("a token as a text", {"prompt": [[1, "2"]]}, "prompt[0]: not all items are token ids"),
        ("a token of 400 digits", {"prompt": [10**400]}, "prompt: not all items are token ids"),
        ("tokens nested", {"prompt": [[[1]]]}, "prompt[0]: not all items are token ids"),
        ("10,000 prompts", {"prompt": ["a"] * 10_000}, "prompt: has 10000 items"),
        ("a gap to fill", {"prompt": "a", "suffix": "b"}, "tokens for filling a gap"),
        ("a gap in tokens", {"prompt": [5], "suffix": "b"}, "suffix: can follow a text only"),
        ("suffix a list", {"prompt": "a", "suffix": ["b"]}, "suffix: a list is no text"),
        ("the best of more", {"prompt": "a", "best_of": 3}, "best_of: all answers are given"),
        ("logprobs true", {"prompt": "a", "logprobs": True}, "logprobs: true is no whole number"),
        ("six logprobs", {"prompt": "a", "logprobs": 6}, "logprobs: 6 is out of range"),
        ("echo a number", {"prompt": "a", "echo": 1}, "echo: 1 is no boolean"),
        ("scores of the prompt", {"prompt": "a", "echo": True, "logprobs": 1}, "echo: "),
        ("messages", {"prompt": "a", "messages": [_ASKED]}, "messages: no such field"),
    ]:
        yield _json(f"completion: {name}", told, COMPLETIONS, {"model": MODEL, **fields})


def _sampling_of_openai() -> Iterator[Case]:
    numbers = (
        *("temperature", "top_p", "top_k", "n", "seed", "max_tokens"),
        *("presence_penalty", "frequency_penalty"),
    )
    for number, parameter in enumerate(numbers):
        for name, value in _SOME_NEVER:
            body: dict[str, Any] = {"model": MODEL, parameter: value}
            body |= {"prompt": "a"} if number % 2 else {"messages": [_ASKED]}
            path = COMPLETIONS if number % 2 else CHAT
            yield _json(f"{path}: {parameter} {name}", f"{parameter}: ", path, body)
    for name, value, told in (
        ("stop at nothing", {"stop": ""}, "stop: is empty"),
        ("stop at numbers", {"stop": [1]}, "stop[0]: 1 is no text"),
        ("bias a text", {"logit_bias": "5"}, "logit_bias: '5' is no object"),
        ("bias for a word", {"logit_bias": {"a": 1}}, "logit_bias.a"),
        ("stream null and a number", {"stream": 0}, "stream: 0 is no boolean"),
        ("nine answers", {"n": 9}, "n: 9 is out of range"),
    ):
        body = {"model": MODEL, "messages": [_ASKED], **value}
        yield _json(f"{CHAT}: {name}", told, CHAT, body)


def _oversized() -> Iterator[Case]:
    too_long = "supports up to 1024 input tokens"
    for name, text in (
        ("letters", "a" * 1023),
        ("a million letters", "a" * 1_000_000),
        ("emoji", "😀" * 256),
        ("families of emoji", "👨‍👩‍👧‍👦" * 41),
        ("combining characters", "e" + "\u0301" * 512),
        ("right to left", "ש" * 512),
        ("null characters", "\0" * 1023),
        ("line ends", "\r\n" * 512),
        ("special tokens", "<eos>" * 205),
    ):
        yield _json(f"too long: {name}", too_long, PREDICT, {"instances": [{"content": text}]})
        messages = [{"role": "user", "content": text}]
        yield _json(
            f"too long: chat of {name}", too_long, CHAT, {"model": MODEL, "messages": messages}
        )
    turns = [_USER, _BOT] * 60 + [_USER]
    chat = {"messages": turns, "context": "c"}
    yield _json(
        "too long: a conversation", "instances[0]: The model", PREDICT, {"instances": [chat]}
    )
    tokens = {"model": MODEL, "prompt": [70] * 1025}
    yield _json("too long: tokens", "received 1025 tokens", COMPLETIONS, tokens)
    both = {"instances": [{"content": "a"}, {"content": "b" * 2000}, {"content": "c" * 3000}]}
    yield _json("too long: two of three", "instances[2]: The model", PREDICT, both)
    for path in ROUTES:
        body = b'{"a": "' + b"a" * TOO_LONG + b'"}'
        yield Case(f"{path}: 10 MB", "body is too long", path, body, status=413)
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {10**15}\r\n\r\n"
        yield Case(f"{path}: a petabyte", "body is too long", raw=head.encode(), status=413)


def _paths_and_methods() -> Iterator[Case]:
    for path in (
        *("/", "/predict/", "/predictions", "/PREDICT", "/predict/a", "//predict", "/predict%00"),
        *("/v1", "/v1/", "/v1/chat", "/v1/chat/completions/", "/v1/embeddings", "/v1/responses"),
        *("/v2/models", "/docs", "/openapi.json", "/redoc", "/.env", "/../../etc/passwd"),
        *("/v1/projects/p/locations/l/endpoints/e:predict", "/%F0%9F%98%80", "/a" * 2000),
    ):
        yield Case(f"POST {path[:60]}", "There is nothing at", path, b"{}", status=404)
    yield Case("GET another model", "model: ", "/v1/models/gpt-4", method="GET", status=404)
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
        for path in (PREDICT, CHAT):
            yield Case(f"{method} {path}", "does not answer", path, method=method, status=405)
    for path in ("/health", "/metrics", "/v1/models"):
        yield Case(f"POST {path}", "does not answer", path, b"{}", status=405)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a;;;b"):
        headers = {"Content-Type": kind}
        yield Case(f"{kind} that is no JSON", "not JSON", PREDICT, b"a=b", headers=headers)


def _connections() -> Iterator[Case]:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    for name, raw in (
        ("no protocol at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n"),
        ("an unknown protocol", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        ("a request line of one word", b"POST\r\n\r\n"),
        ("a blank in the path", b"POST /pre dict HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a null character in the path", b"POST /pre\x00dict HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no host", b"POST /predict HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
        ("a header without a colon", head + b"Content-Type\r\n\r\n"),
        ("a header with a null character", head + b"X-A: a\x00b\r\n\r\n"),
        ("a header with a blank in its name", head + b"X A: b\r\n\r\n"),
        ("a length that is no number", head + b"Content-Length: ten\r\n\r\n"),
        ("a negative length", head + b"Content-Length: -1\r\n\r\n"),
        ("two lengths", head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}a"),
        ("an unknown encoding", head + b"Transfer-Encoding: gzip\r\n\r\n"),
        ("a chunk of no size", chunked + b"zz\r\n{}\r\n0\r\n\r\n"),
        ("a chunk of a negative size", chunked + b"-5\r\n{}\r\n0\r\n\r\n"),
        ("a head without an end", head + b"X-A: " + b"a" * _LONG_HEAD),
        ("thousands of headers", head + b"X-A: b\r\n" * (_LONG_HEAD // 8)),
    ):
        yield Case(f"connection: {name}", "Invalid HTTP request", raw=raw)
    smuggled = head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    yield Case("connection: a body of two lengths", "body is empty", raw=smuggled)
