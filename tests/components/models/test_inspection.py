"""What stands against tuning a checkpoint is found in its files, all of it, with the mend."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kfp_llm_tuning.components.models.checkpoint_files import local_files
from kfp_llm_tuning.components.models.inspection.findings import Inspection
from kfp_llm_tuning.components.models.inspection.inspect import inspect_checkpoint
from tests.components.models.conftest import Edit


def _inspect(folder: Path, conversations: bool = False) -> Inspection:
    return inspect_checkpoint(folder, "m", local_files(folder), conversations)


def _problems(folder: Path) -> list[str]:
    return [str(problem) for problem in _inspect(folder).problems]


def test_a_good_checkpoint_has_nothing_to_complain_of(checkpoint: Path) -> None:
    found = _inspect(checkpoint)
    assert (found.problems, found.warnings, found.notes) == ([], [], [])
    assert found.tokenizer("a")["input_ids"]


_NO_TORCH = """
import sys
from pathlib import Path
from kfp_llm_tuning.components.models.checkpoint_files import local_files
from kfp_llm_tuning.components.models.inspection.inspect import inspect_checkpoint
folder = Path(sys.argv[1])
found = inspect_checkpoint(folder, "m", local_files(folder))
print(found.problems, "torch" in sys.modules)
"""


def test_a_common_checkpoint_is_examined_without_torch(checkpoint: Path) -> None:
    command = [sys.executable, "-c", _NO_TORCH, str(checkpoint)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == "[] False\n"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": None}, "names no model_type"),
        (
            {"model_type": "lama", "architectures": None},
            "describes a 'lama', an architecture that transformers",
        ),
        (
            {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
            "describes a 't5', which transformers",
        ),
        ({"is_encoder_decoder": True}, "describes an encoder-decoder model (LlamaForCausalLM)"),
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            "describes a model that writes no text (LlamaForSequenceClassification)",
        ),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "writes no text"),
        (
            {"model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"]},
            "describes a 'qwen2_vl', which transformers",
        ),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "has quantised weights (gptq), which cannot be tuned",
        ),
    ],
)
def test_configurations_that_cannot_be_tuned(
    values: dict[str, object], message: str, checkpoint: Path, edit: Edit
) -> None:
    edit("config.json", **values)
    (problem,) = _problems(checkpoint)
    assert message in problem
    assert "Choose" in problem


def test_packed_weights_without_a_word_of_it(checkpoint: Path) -> None:
    packed = {f"l{n}.qweight": np.zeros((2, 2), np.int32) for n in range(3)}
    save_file(packed, checkpoint / "model.safetensors")
    assert "m: has quantised weights (I32)" in _problems(checkpoint)[-1]


def test_parts_for_pictures_are_told(checkpoint: Path, edit: Edit) -> None:
    edit("config.json", vision_config={"hidden_size": 8})
    assert "only what text passes through is tuned" in str(_inspect(checkpoint).notes[0])


def _add_token(folder: Path, text: str, special: bool = True) -> int:
    path = folder / "tokenizer.json"
    facts = json.loads(path.read_text())
    token = 1 + max(entry["id"] for entry in facts["added_tokens"])
    token = max(token, 259)
    entry = {**facts["added_tokens"][0], "id": token, "content": text, "special": special}
    facts["added_tokens"].append(entry)
    path.write_text(json.dumps(facts))
    return token


def test_a_token_of_the_template_that_the_model_has_no_room_for(checkpoint: Path) -> None:
    token = _add_token(checkpoint, "<|turn|>")
    (checkpoint / "chat_template.jinja").write_text("{{ '<|turn|>' }}")
    (problem,) = _problems(checkpoint)
    assert (
        f"there are 259 embeddings, and no room for 1 of its tokens: <|turn|> ({token})" in problem
    )
    assert f"model.resize_token_embeddings({token + 1})" in problem


def test_a_token_that_ordinary_text_becomes(checkpoint: Path) -> None:
    _add_token(checkpoint, "hello", special=False)
    assert "no room for 1 of its tokens: hello (259)" in _problems(checkpoint)[0]


def test_a_token_for_pictures_does_no_harm(checkpoint: Path) -> None:
    _add_token(checkpoint, "<image>")
    found = _inspect(checkpoint)
    assert not found.problems
    assert "m: has no room for 1 of its tokens: <image> (259)" in str(found.warnings[0])


def test_no_end_and_no_template(checkpoint: Path, edit: Edit) -> None:
    edit("tokenizer_config.json", eos_token=None)
    assert "names no end-of-sequence token" in _problems(checkpoint)[0]


def test_conversations_without_a_chat_template(checkpoint: Path) -> None:
    (warning,) = _inspect(checkpoint, conversations=True).warnings
    assert "has no chat template" in str(warning)
    (checkpoint / "chat_template.jinja").write_text("{{ messages }}")
    assert not _inspect(checkpoint, conversations=True).warnings


@pytest.mark.parametrize(
    ("settings", "dropped"),
    [
        ({"temperature": 0.9, "top_p": 0.6, "do_sample": False}, "temperature, top_p"),
        ({"temperature": 0.9, "do_sample": None}, "temperature"),
        ({"output_scores": True}, "output_scores"),
        ({"length_penalty": 2.0, "early_stopping": True}, "early_stopping, length_penalty"),
    ],
)
def test_settings_that_cannot_be_saved_are_told(
    settings: dict[str, object],
    dropped: str,
    checkpoint: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (checkpoint / "generation_config.json").write_text(json.dumps(settings))
    found = _inspect(checkpoint)
    assert not found.problems
    assert f"cannot be saved: {dropped}." in str(found.notes[0])
    # transformers' own words of it are kept out.
    assert capfd.readouterr() == ("", "")


def test_settings_that_cannot_be_read(checkpoint: Path) -> None:
    (checkpoint / "generation_config.json").write_text('{"early_stopping": 7}')
    (problem,) = _problems(checkpoint)
    assert "m/generation_config.json: cannot be read by transformers: `early_stopping`" in problem


def test_an_adapter_beside_the_weights(checkpoint: Path) -> None:
    (checkpoint / "adapter_config.json").write_text("{}")
    assert "has an adapter beside its weights" in _problems(checkpoint)[0]


def test_all_problems_are_told_at_once(checkpoint: Path, edit: Edit) -> None:
    edit("config.json", is_encoder_decoder=True, quantization_config={"quant_method": "awq"})
    edit("tokenizer_config.json", eos_token=None)
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (checkpoint / "generation_config.json").write_text("[]")
    assert len(_problems(checkpoint)) == 5
