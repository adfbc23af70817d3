"""YAML and JSON that people wrote: read in bounded time and memory, or refused with the reason.

A few hundred bytes of YAML can stand for gigabytes (aliases of aliases), and both languages have
values that nothing behind them can hold: endless numbers, halves of characters. All of it is told
here, so that whatever is read is a plain and finite tree.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.wording import did_you_mean, one_line

if TYPE_CHECKING:
    from yaml.nodes import Node

    Pair: TypeAlias = tuple[Any, Any]

# A parameter file has a few kilobytes, a compiled template a few hundred.
MAXIMUM_BYTES = 4 * 2**20
# Values of a document, what aliases stand for counted in full.
MAXIMUM_VALUES = 500_000
# Protocol buffers, which the values travel in, take 100.
MAXIMUM_DEPTH = 64
# Digits, sign and exponent of a number.
MAXIMUM_NUMBER_LENGTH = 100
# Whole numbers of JSON and of protocol buffers that every reader holds.
_LARGEST_WHOLE_NUMBER = 2**63
_MOST_PROBLEMS = 20
# Linux hands a process no argument longer than 128 KiB (MAX_ARG_STRLEN), and a task gets its inputs
# as one, in JSON; what is left is for the paths of its outputs.
MAXIMUM_INPUT_BYTES = 96 * 1024


def read_text(path: Path) -> str:
    """Reads a file that a person wrote.

    Args:
        path: The file.

    Returns:
        Its text, without a byte order mark.

    Raises:
        UserError: If it cannot be read, is longer than ``MAXIMUM_BYTES``, or is no UTF-8.
    """
    where = one_line(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAXIMUM_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(Problem(f"cannot be read: {reason}.", where)) from error
    return decode_text(content, where)


def decode_text(content: bytes, where: str) -> str:
    """Decodes what was read of a file that a person wrote.

    Args:
        content: The file, or of a longer one more than ``MAXIMUM_BYTES``.
        where: The file or parameter.

    Returns:
        Its text, without a byte order mark.

    Raises:
        UserError: If it is longer than ``MAXIMUM_BYTES``, or is no UTF-8.
    """
    if len(content) > MAXIMUM_BYTES:
        raise UserError(Problem("is too long.", where, f"at most {MAXIMUM_BYTES:,} bytes"))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8: byte 0x{content[error.start]:02x} at position {error.start + 1}."
        raise UserError(Problem(what, where, fix="Save the file as UTF-8.")) from error


def parse_json(text: str, where: str) -> Any:
    """Parses one JSON value.

    Args:
        text: JSON.
        where: The file or parameter that it is of.

    Returns:
        The value.

    Raises:
        UserError: If it is not JSON, repeats a name, is nested too deeply, or holds a value that
            :func:`value_problems` names.
    """
    repeated: Counter[str] = Counter()

    def mapping(pairs: list[Pair]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            repeated.update(_repeated(name for name, _ in pairs))
        return found

    try:
        value = json.loads(text, object_pairs_hook=mapping, parse_int=_whole_number)
    except RecursionError as error:
        raise UserError(Problem("is nested too deeply.", where)) from error
    except ValueError as error:
        raise UserError(Problem(f"is not JSON: {error}", where)) from error
    raise_all([*_repetitions(repeated, where), *value_problems(value, where)])
    return value


def parse_yaml(text: str, where: str) -> Any:
    """Parses one YAML document, as :func:`parse_yaml_documents` does; None where there is none."""
    documents = parse_yaml_documents(text, where)
    if len(documents) > 1:
        raise UserError(Problem(f"holds {len(documents)} documents.", where, "one document"))
    return documents[0] if documents else None


def parse_yaml_documents(text: str, where: str) -> list[Any]:
    """Parses YAML.

    Args:
        text: Any number of documents.
        where: The file or option that it is of.

    Returns:
        Their values.

    Raises:
        UserError: If it is not YAML, repeats a name, is nested too deeply, if its aliases stand for
            more than ``MAXIMUM_VALUES`` values, or for a value that :func:`value_problems` names.
    """
    import yaml

    # The loader written in C, where there is one, is ten times as fast.
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Composing recurses, in C beyond what Python guards: the depth is looked at before.
        _check_yaml_depth(yaml.parse(text, Loader=kind), where)
        loader = kind(text)
        try:
            documents = []
            while loader.check_node():
                documents.append(_constructed(loader, where))
        finally:
            loader.dispose()
    except UserError:
        raise
    except Exception as error:  # ValueError, KeyError ... of scalars that are not of their tag
        told = str(error) if isinstance(error, yaml.YAMLError) else repr(error)
        raise UserError(Problem(f"is not YAML: {one_line(told, 500)}", where)) from error
    raise_all([problem for value in documents for problem in value_problems(value, where)])
    return documents


def value_problems(value: Any, where: str) -> list[Problem]:
    """Finds what nothing behind a document can hold.

    Args:
        value: Text, a number, a mapping, a list or anything in them.
        where: The parameter or file that the value is of.

    Returns:
        The first problems: numbers that are not finite or too long, text with half a character or
        a NUL, values nested deeper than ``MAXIMUM_DEPTH``.
    """
    return list(islice(_value_problems(value, where), _MOST_PROBLEMS))


def unknown_names(
    names: Iterable[str], known: Sequence[str], what: str, fix: str = "", place: str = ""
) -> list[Problem]:
    """Tells names that nobody knows.

    Args:
        names: Any number of them.
        known: All that there are.
        what: ``unknown parameter.``
        fix: What to do where no known name is near.
        place: Stands before each name.

    Returns:
        The first names, each with the known one that is near; and how many more there are.
    """
    left = iter(names)
    problems = []
    for name in islice(left, _MOST_PROBLEMS):
        told = did_you_mean(name.strip(" :").replace("-", "_"), known, fix)
        problems.append(Problem(what, f"{place}{_name(name)}", fix=told))
    if hidden := sum(1 for _ in left):
        problems.append(Problem(f"{hidden:,} more: {what}", place, fix=fix))
    return problems


def _name(name: str) -> str:
    """Quotes a name that would not read as one: ``'accelerator_type:'``."""
    plain = name.replace("-", "_").isidentifier()
    return one_line(name, 60) if plain else repr(one_line(name, 60))


def size_problems(values: Mapping[str, Any]) -> list[Problem]:
    """Tells values that are together too long to be handed to a task.

    Args:
        values: All that a task may be given.

    Returns:
        One problem that names the longest, or none.
    """
    sizes = {name: len(json.dumps(value, default=str)) for name, value in values.items()}
    total = sum(sizes.values())
    if total <= MAXIMUM_INPUT_BYTES:
        return []
    longest = max(sizes, key=lambda name: sizes[name])
    what = f"{sizes[longest]:,} bytes, {total:,} with all other parameters."
    allowed = f"{MAXIMUM_INPUT_BYTES:,} bytes of JSON together"
    return [Problem(what, one_line(longest, 60), allowed, "Put long text into the dataset's rows.")]


def _value_problems(value: Any, where: str) -> Iterator[Problem]:
    left: list[tuple[Any, str, int]] = [(value, where, 0)]
    while left:
        value, where, depth = left.pop()
        if isinstance(value, str):
            if problem := _text_problem(value):
                yield Problem(problem, where, "text of whole characters, without NUL")
        elif isinstance(value, float) and not math.isfinite(value):
            yield Problem(f"{value} is no finite number.", where, "a finite number")
        elif isinstance(value, int) and not -_LARGEST_WHOLE_NUMBER <= value < _LARGEST_WHOLE_NUMBER:
            yield Problem("the number is too large.", where, "a number of at most 18 digits")
        elif isinstance(value, Mapping | list | tuple) and depth >= MAXIMUM_DEPTH:
            yield Problem("is nested too deeply.", where, f"at most {MAXIMUM_DEPTH} levels")
        elif isinstance(value, Mapping):
            names = ((name, f"a name in {where}", depth + 1) for name in value)
            left += names
            left += ((entry, _below(where, name), depth + 1) for name, entry in value.items())
        elif isinstance(value, list | tuple):
            left += ((entry, f"{where}[{at}]", depth + 1) for at, entry in enumerate(value))


def _below(where: str, name: Any) -> str:
    return f"{where}: {one_line(name, 60)}"


def _text_problem(text: str) -> str:
    if "\0" in text:
        return f"the text has the character U+0000 at position {text.index(chr(0)) + 1}."
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        return f"the text has {half}, half a character, at position {error.start + 1}."
    return ""


def _whole_number(text: str) -> int:
    if len(text) > MAXIMUM_NUMBER_LENGTH:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


def _repeated(names: Iterable[Any]) -> dict[str, int]:
    counts = Counter(str(name) for name in names)
    return {name: count for name, count in counts.items() if count > 1}


def _repetitions(counts: Mapping[str, int], where: str) -> list[Problem]:
    first = islice(counts.items(), _MOST_PROBLEMS)
    return [Problem(f"stands {n} times in one object.", _below(where, name)) for name, n in first]


def _check_yaml_depth(events: Iterator[Any], where: str) -> None:
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAXIMUM_DEPTH:
            raise UserError(
                Problem("is nested too deeply.", where, f"at most {MAXIMUM_DEPTH} levels")
            )


def _constructed(loader: Any, where: str) -> Any:
    node = loader.get_node()
    size = _checked_size(node, where, {})
    if size > MAXIMUM_VALUES:
        what = f"stands for {size:.3g} values, what aliases stand for counted in full."
        raise UserError(Problem(what, where, f"at most {MAXIMUM_VALUES:,} values"))
    return loader.construct_document(node)


def _checked_size(node: Node, where: str, sizes: dict[Node, int]) -> int:
    """Counts the values that a node stands for; those of an alias each time anew.

    Args:
        node: The node; as deep as ``_check_yaml_depth`` allows.
        where: For messages.
        sizes: Those of the nodes seen before; 0 of one that is being counted.
    """
    from yaml.nodes import MappingNode, ScalarNode

    if node in sizes:
        if not sizes[node]:
            raise UserError(Problem("holds an alias of what it is a part of.", where))
        return sizes[node]
    sizes[node] = 0
    if isinstance(node, ScalarNode):
        _check_number(node, where)
        size = 1
    else:
        if isinstance(node, MappingNode):
            names = [name.value for name, _ in node.value if isinstance(name, ScalarNode)]
            raise_all(_repetitions(_repeated(name for name in names if name != "<<"), where))
        size = 1 + sum(_checked_size(inner, where, sizes) for inner in _inner(node))
    sizes[node] = size
    return size


def _inner(node: Node) -> Sequence[Node]:
    from yaml.nodes import MappingNode

    if isinstance(node, MappingNode):
        return [inner for pair in node.value for inner in pair]
    inside: Sequence[Node] = node.value
    return inside


def _check_number(node: Any, where: str) -> None:
    """Refuses an endless number before it is reckoned: that takes time in the square of its length.

    A number whose digits are grouped by sixty (``1:59:59``) is one too.
    """
    is_number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    if is_number and len(node.value) > MAXIMUM_NUMBER_LENGTH:
        what = f"a number of {len(node.value):,} digits."
        raise UserError(Problem(what, where, f"at most {MAXIMUM_NUMBER_LENGTH} digits"))
