from __future__ import annotations

from collections import Counter

from kfp_llm_tuning.components.data.artifacts import Record
from kfp_llm_tuning.components.dataset.conversation_tokens import (
    ConversationTokens,
    EncodedRecord,
    EncodedSequence,
)

END = 99


def record(prompt: list[int], completion: list[int], line: int = 1, turn: int = 0, **facts):
    is_cut = facts.pop("is_cut", False)
    texts = (" ".join(map(str, ids)) for ids in (prompt, completion))
    facts = {"head": 0, **facts}
    return EncodedRecord(Record(*texts, line, turn, **facts), prompt, [*completion, END], is_cut)


def join(*records: EncodedRecord) -> tuple[list[EncodedSequence], Counter[str]]:
    reasons: Counter[str] = Counter()
    conversation = ConversationTokens(lambda why, record: reasons.update([why]))
    done = [conversation.add(one) for one in records]
    return [one for one in [*done, conversation.finish()] if one], reasons


def test_answers_of_a_conversation_are_one_sequence():
    # The end of sequence stands behind the last answer alone: 3 follows the first one's.
    found, reasons = join(
        record([1, 2], [7, 8]), record([1, 2, 7, 8, 3, 4], [9], turn=1), record([1], [2], line=2)
    )
    assert found == [
        EncodedSequence([1, 2, 7, 8, 3, 4, 9, END], [2, 6], [5, 8], [END, END], 1, [0, 1]),
        EncodedSequence([1, 2, END], [1], [3], [END], 2, [0]),
    ]
    assert not reasons


def test_a_cut_answer_goes_on_in_the_next_prompt():
    cut = record([1, 2], [7])._replace(completion=[7, 8])
    found, reasons = join(cut, record([1, 2, 7, 8, 8, 8, 3], [9], turn=1))
    assert [(one.starts, one.stops, one.ends) for one in found] == [([2, 7], [4, 9], [8, END])]
    assert not reasons


def test_what_is_written_otherwise_is_read_apart_and_told():
    found, reasons = join(
        record([1, 2], [7]),
        record([1, 3, 7, 4], [9], turn=1),
        record([5, 6], [9], turn=2, is_cut=True),
    )
    assert [one.turns for one in found] == [[0], [1], [2]]
    assert sorted(reasons.values()) == [1, 1]
    assert any("in other words" in why for why in reasons)
    assert any("longer than the limit" in why for why in reasons)


def test_texts_of_one_line_need_no_reason_to_be_read_apart():
    found, reasons = join(record([1], [7], head=None), record([2], [8], turn=1, head=None))
    assert [one.turns for one in found] == [[0], [1]]
    assert not reasons


def test_an_answer_without_a_question_between_is_read_apart():
    # Its first label would be predicted from where the first answer's end is.
    found, _ = join(record([1, 2], [7, 8]), record([1, 2, 7, 8], [9], turn=1))
    assert [one.turns for one in found] == [[0], [1]]


def test_no_records_are_no_sequence():
    assert join() == ([], Counter())
