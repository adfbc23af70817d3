"""Every published name with its published limits, direct references, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models import model_references
from kfp_llm_tuning.components.models.model_references import names, resolve

FAMILIES = {
    "text-bison": ("text", 8192, 1024),
    "chat-bison": ("chat", 8192, 1024),
    "code-bison": ("code", 6144, 2048),
    "codechat-bison": ("codechat", 6144, 2048),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("version", "batch_sizes", "selection", "label"),
    [
        ("@001", {"TPU": 24, "GPU": 8}, True, "-001"),
        ("@002", {"TPU": 24, "GPU": 8}, False, "-002"),
        ("", {"TPU": 8, "GPU": 3}, False, "-002"),
    ],
)
def test_published_names_keep_their_published_numbers(
    family: str, version: str, batch_sizes: dict[str, int], selection: bool, label: str
) -> None:
    kind, inputs, outputs = FAMILIES[family]
    model = resolve(family + version)
    assert (model.kind, model.max_input_tokens, model.max_output_tokens) == (kind, inputs, outputs)
    assert model.batch_sizes == batch_sizes
    assert model.checkpoint_selection is selection
    assert (model.train_steps, model.tuning) == (300, "adapter")
    assert model.label == family + label
    assert model.substitute_for == family + version


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("version", ["-32k", "-32k@002"])
def test_32k_names_fill_their_context(family: str, version: str) -> None:
    model = resolve(family + version)
    assert model.max_input_tokens + model.max_output_tokens == 32_768 <= model.context_tokens
    assert model.batch_sizes == {"TPU": 8, "GPU": 8}
    assert model.label == f"{family}-32k-002"


@pytest.mark.parametrize("name", names())
def test_clients_rebuild_a_known_reference_from_the_label(name: str) -> None:
    label = resolve(name).label
    assert re.fullmatch("[a-z0-9_-]{1,63}", label)
    base, _, version = label.rpartition("-")
    rebuilt = resolve(f"publishers/google/models/{base}@{version}")
    assert rebuilt.checkpoint == resolve(name).checkpoint
    assert rebuilt.label == label


@pytest.mark.parametrize("name", names())
def test_limits_fit_the_context_of_the_checkpoint(name: str) -> None:
    model = resolve(name)
    assert model.max_input_tokens + model.max_output_tokens <= model.context_tokens
    assert 0 < model.learning_rate < 0.01


def test_legacy_method_has_limits_of_its_own_by_accelerator() -> None:
    on_tpu = resolve("text-bison@001", tuning_method="tune", accelerator="TPU")
    on_gpu = resolve("text-bison@001", tuning_method="tune", accelerator="GPU")
    assert (on_tpu.max_input_tokens, on_tpu.max_output_tokens) == (4096, 1024)
    assert (on_gpu.max_input_tokens, on_gpu.max_output_tokens) == (2048, 512)
    assert on_tpu.train_steps == on_gpu.train_steps == 1000


@pytest.mark.parametrize(
    ("reference", "length", "message"),
    [
        ("qwen3-4b", "", "qwen3-4b is none of them"),
        ("text-bison-32k", "", "no 32k context"),
        ("text-bison@002", "32k", "no 32k context"),
    ],
)
def test_legacy_method_is_refused_where_it_never_was(
    reference: str, length: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        resolve(reference, tuning_method="tune", max_context_length=length)


def test_a_method_can_be_forced_and_brings_its_learning_rate() -> None:
    adapter, full = resolve("qwen3-4b"), resolve("qwen3-4b", tuning_method="full")
    assert (adapter.tuning, full.tuning) == ("adapter", "full")
    assert full.learning_rate < adapter.learning_rate
    assert resolve("byte-tiny").tuning == "full"
    assert resolve("byte-tiny", tuning_method="adapter").tuning == "adapter"


def test_context_length_changes_limits_and_batch() -> None:
    long = resolve("text-bison@002", max_context_length="32k")
    assert (long.max_input_tokens, long.batch_sizes["TPU"]) == (31_744, 8)
    assert resolve("text-bison-32k", max_context_length="8k").max_input_tokens == 8192
    assert resolve("code-bison@002", max_context_length="8k").max_input_tokens == 6144
    with pytest.raises(UserError, match="byte-tiny has a context of 16,384 tokens"):
        resolve("byte-tiny", max_context_length="32k")


@pytest.mark.parametrize(
    ("reference", "checkpoint", "revision", "label"),
    [
        ("hf://Qwen/Qwen3-4B@abc123", "hf://Qwen/Qwen3-4B", "abc123", "qwen-qwen3-4b-abc123"),
        ("hf://Qwen/Qwen3-4B", "hf://Qwen/Qwen3-4B", "main", "qwen-qwen3-4b-main"),
        ("gs://bucket/My Model/", "gs://bucket/My Model", "", "my-model-latest"),
        ("s3://bucket/m", "s3://bucket/m", "", "m-latest"),
        ("./models/m", "./models/m", "", "m-latest"),
        ("file:///models/m", "/models/m", "", "m-latest"),
        ("/", "/", "", "model-latest"),
    ],
)
def test_checkpoints_given_directly(
    reference: str, checkpoint: str, revision: str, label: str
) -> None:
    model = resolve(reference)
    assert (model.checkpoint, model.revision, model.label) == (checkpoint, revision, label)
    assert (model.kind, model.substitute_for) == ("any", "")


@pytest.mark.parametrize("name", ["runs/x/saved_model", "saved_model", "runs/x/saved_model/"])
def test_a_folder_that_is_there_is_a_checkpoint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no model is called"):
        resolve(name)
    Path(name).mkdir(parents=True)
    assert resolve(name).checkpoint == f"./{name}".rstrip("/")
    Path("byte-tiny").mkdir()
    assert resolve("byte-tiny").checkpoint == "builtin://byte-tiny"


def test_a_long_direct_name_still_makes_a_legal_label() -> None:
    label = resolve(f"hf://organisation/{'name-' * 30}x@{'f' * 40}").label
    assert re.fullmatch("[a-z0-9_-]{1,63}", label)
    assert label.endswith("-" + "f" * 20)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("text-bisn@002", "Did you mean text-bison@002"),
        ("Qwen3-4", "Did you mean qwen3-4b"),
        ("Qwen/Qwen3-4B", "Did you mean hf://Qwen/Qwen3-4B or ./Qwen/Qwen3-4B?"),
        ("text-bison@003", "no model is called 'text-bison@003'"),
        ("qwen3-4b@002", "no model is called"),
        ("", "large_model_reference: is empty"),
        ("hf://nothing", "names no repository of the hub"),
        ("hf://a/b/c", "names no repository of the hub"),
        ("ftpx://host/model", "unknown scheme ftpx://"),
    ],
)
def test_unknown_references_are_told_with_the_nearest(reference: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        resolve(reference)


def test_all_problems_come_together() -> None:
    with pytest.raises(UserError) as caught:
        resolve("text-bisn", tuning_method="lora", max_context_length="64k")
    where = [problem.where for problem in caught.value.problems]
    assert where == ["large_model_reference", "tuning_method", "max_context_length"]


def test_the_substitution_is_told() -> None:
    notice = resolve("text-bison@002").substitution_notice
    assert "text-bison@002 is closed" in notice
    assert "Qwen2.5-7B-Instruct@a09a35458c702b33eeacc393d103063234e8bc28" in notice
    assert resolve("qwen3-4b").substitution_notice == ""


def test_names_are_found_in_any_case() -> None:
    assert resolve("Text-Bison@002") == resolve("text-bison@002")


def test_a_table_that_breaks_its_schema_is_refused(tmp_path: object) -> None:
    source = model_references._TABLE
    copy = tmp_path / source.name  # type: ignore[operator]
    copy.write_text(source.read_text().replace("batch_sizes: {TPU: 24", "batch_sizes: {TPU: 0"))
    schema = source.with_suffix(".schema.json")
    copy.with_suffix(".schema.json").write_text(schema.read_text())
    with pytest.raises(ValueError, match="0 is less than the minimum of 1"):
        load_table(copy)
