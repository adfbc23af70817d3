from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from kfp_llm_tuning.components.data.token_layouts import EndToEnd, PaddedRows
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models import document_attention, label_head
from kfp_llm_tuning.components.models.forward_trial import plan_forward
from kfp_llm_tuning.components.models.label_head import cross_entropy
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan, label_logits, label_loss
from tests.components.small_models import MODELS, Outcome, assert_equal, outcome, small_model

# Those whose attention takes documents on a processor; soft-capped scores it does not know.
PACKED = set(MODELS) - {"gemma2"}


def sequences() -> list[TokenSequence]:
    generator = np.random.default_rng(0)
    return [
        TokenSequence.of_answer(generator.integers(1, 64, length).astype(np.int32), prompt)
        for length, prompt in [(20, 3), (9, 8), (14, 10), (5, 1)]
    ]


def reference(model: Any) -> Outcome:
    """The loss that transformers computes itself, over all logits, one sequence at a time."""

    def losses() -> Iterator[torch.Tensor]:
        for sequence in sequences():
            labels = torch.full((1, len(sequence.input_ids)), -100)
            positions = torch.from_numpy(sequence.positions)
            labels[0, positions + 1] = torch.from_numpy(sequence.labels.astype(np.int64))
            ids = torch.from_numpy(sequence.input_ids.astype(np.int64))[None]
            yield model(input_ids=ids, labels=labels).loss * len(positions)

    return outcome(model, losses())


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_every_layout_equals_one_sequence_at_a_time(
    kind: str, lora: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model(kind, lora=lora)
    expected = reference(model)

    def assert_plan_holds(plan: ForwardPlan) -> None:
        batch = (EndToEnd() if plan.packed else PaddedRows()).collate(sequences())
        assert_equal(outcome(model, iter([label_loss(model, batch, plan)[0]])), expected)

    padded = plan_forward(model)
    assert padded.label_only
    assert_plan_holds(padded)
    packed = plan_forward(model, packed=True)
    assert packed.packed == (kind in PACKED)
    assert_plan_holds(packed)
    # In chunks of three labels.
    monkeypatch.setattr(label_head, "chunk_values", lambda device: 3 * 64)
    assert_plan_holds(packed)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kind", ["gemma2", "mistral"])
def test_flex_attention_sees_the_same_documents(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(kind)
    expected = reference(model)
    makers = {"FlexAttention": document_attention._flex_attention}
    monkeypatch.setattr(document_attention, "_CPU", makers)
    plan = plan_forward(model, packed=True)
    assert plan.reason == "FlexAttention"
    with torch.no_grad():  # It has no backward pass on a processor.
        loss, _ = label_loss(model, EndToEnd().collate(sequences()), plan)
    assert loss.item() == pytest.approx(expected[0], rel=1e-6)


@pytest.mark.parametrize("label_only", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_every_way_gives_the_same_logits(label_only: bool, masked: bool) -> None:
    model, batch = small_model("llama"), PaddedRows().collate(sequences())
    expected = model(batch.input_ids, attention_mask=batch.attention_mask).logits.flatten(0, 1)
    found = label_logits(model, batch, ForwardPlan(label_only, attention_mask=masked))
    torch.testing.assert_close(found, expected[batch.positions], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gemma2", "mistral"])
def test_windows_keep_the_mask(kind: str) -> None:
    assert plan_forward(small_model(kind)).attention_mask


def test_a_model_with_dropout_in_its_attention_keeps_rows() -> None:
    model = small_model("llama")
    model.config.attention_dropout = 0.1
    plan = plan_forward(model, packed=True)
    assert not plan.packed
    assert "dropout" in plan.describe()


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_a_share_without_a_label_has_gradients_of_zero(lora: bool, packed: bool) -> None:
    model = small_model("llama", lora=lora)
    plan = plan_forward(model, packed=packed)
    idle = sequences()[0].part(0, 0)
    batch = (EndToEnd() if packed else PaddedRows()).collate([idle])
    loss, gradients = outcome(model, iter([label_loss(model, batch, plan)[0]]))
    assert loss == 0
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_a_chunked_loss_without_gradients_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = small_model("llama"), PaddedRows().collate(sequences())
    plan = plan_forward(model)
    with torch.no_grad():
        whole = label_loss(model, batch, plan)
        monkeypatch.setattr(label_head, "chunk_values", lambda device: 64)
        loss, correct = label_loss(model, batch, plan)
    assert loss.item() == pytest.approx(whole[0].item(), rel=1e-6)
    assert correct == whole[1]


class Foreign(torch.nn.Module):
    """A model that looks both ways, or has no backbone."""

    def __init__(self, *, bidirectional: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(64, 8)
        self.head = torch.nn.Linear(8, 64)
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace())
        self._bidirectional = bidirectional

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.embedding

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        use_cache: bool = False,
    ) -> SimpleNamespace:
        hidden = self.embedding(input_ids)
        if attention_mask is not None:
            hidden = hidden * attention_mask[..., None]
        mixed = hidden.sum(1, keepdim=True) if self._bidirectional else hidden.cumsum(1)
        return SimpleNamespace(logits=self.head(hidden + mixed))


def test_models_of_another_interface_take_the_plain_way() -> None:
    model = Foreign()
    plan = plan_forward(model)
    assert plan == ForwardPlan(label_only=False, attention_mask=False)
    batch = PaddedRows().collate(sequences())
    expected = model(batch.input_ids).logits.flatten(0, 1)[batch.positions]
    torch.testing.assert_close(label_logits(model, batch, plan), expected)
    assert label_loss(model, batch, plan)[0] == cross_entropy(expected, batch.targets)[0]


def test_an_output_layer_with_weights_elsewhere_is_run_whole() -> None:
    model = small_model("llama")
    embeddings = model.get_input_embeddings()
    head = model.lm_head
    model.lm_head = torch.nn.Identity()
    usual = type(model).forward

    class Tied(type(model)):  # type: ignore[misc]
        def forward(self, **arguments: Any) -> Any:
            found = usual(self, **arguments)
            found.logits = found.logits @ embeddings.weight.T
            return found

    model.__class__ = Tied
    assert head is not model.lm_head
    assert not plan_forward(model).label_only


def test_a_model_that_looks_ahead_keeps_the_mask() -> None:
    assert plan_forward(Foreign(bidirectional=True)).attention_mask


def test_the_trial_leaves_mode_and_gradients_as_they_were() -> None:
    model = small_model("llama")
    plan_forward(model)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())
    assert "forward" not in vars(model)
    assert "forward" not in vars(model.base_model)


def test_correct_predictions_are_counted() -> None:
    logits = torch.tensor([[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    loss, correct = cross_entropy(logits, torch.tensor([1, 1, 0]))
    assert correct.item() == 1
    expected = sum(math.log(1 + math.exp(gap)) for gap in (-2.0, 2.0, 1.0))
    assert loss.item() == pytest.approx(expected, rel=1e-6)
