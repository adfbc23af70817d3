"""Every rule on parameters that holds on all platforms, and the message of each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.validation.pipeline_requests import (
    LOCAL,
    PREFIX,
    VERTEX,
    Mistake,
    assert_told,
    check,
)

MISTAKES = {
    "unknown platform": Mistake(
        LOCAL, {"platform": "vertx"}, "platform: 'vertx' is unknown.", "vertex?"
    ),
    "unknown template": Mistake(
        LOCAL, {"template": "tune"}, "template: 'tune' is unknown.", "tune-large"
    ),
    "unknown region": Mistake(
        VERTEX,
        {"location": "us-centrl1"},
        "location: 'us-centrl1'",
        "us-central1?",
    ),
    "unknown region locally": Mistake(
        LOCAL,
        {"location": "mars-1"},
        "location: 'mars-1' is no",
        "us-east4",
    ),
    "unknown pipeline region": Mistake(
        VERTEX,
        {"pipeline_region": "us-west9", "accelerator_type": "GPU"},
        "pipeline_region: 'us-west9' is no supported region",
        "Did you mean us-west",
    ),
    "no data": Mistake(LOCAL, {"dataset_uri": ""}, "there is no training data", "Give dataset_uri"),
    "two sets of data": Mistake(
        VERTEX,
        {"dataset_name": f"{PREFIX}/datasets/1"},
        "dataset_uri and dataset_name exclude one another",
        "Give one of them",
    ),
    "steps and epochs": Mistake(
        LOCAL,
        {"train_steps": 20, "epochs": -1},
        "epochs and train_steps exclude one another",
        "Give one of them",
    ),
    "endless epochs": Mistake(LOCAL, {"epochs": 1e6}, "1000000.0 is out of range", "up to 1,000"),
    "two evaluation sets": Mistake(
        LOCAL,
        {"evaluation_data_uri": "evaluation.jsonl", "evaluation_fraction": 0.1},
        "evaluation_data_uri and evaluation_fraction exclude one another",
        "Give one of them",
    ),
    "most rows held out": Mistake(
        LOCAL, {"evaluation_fraction": 0.6}, "0.6 is out of range", "from 0 to 0.5"
    ),
    "managed dataset elsewhere": Mistake(
        LOCAL,
        {"dataset_uri": "", "dataset_name": f"{PREFIX}/datasets/1"},
        "managed datasets are Vertex AI's, and the platform is local",
        "Give dataset_uri",
    ),
    "malformed managed dataset": Mistake(
        VERTEX,
        {"dataset_uri": "", "dataset_name": "mydata"},
        "'mydata' is no managed dataset",
        "locations/REGION/datasets/NUMBER",
    ),
    "local path on Vertex": Mistake(
        VERTEX,
        {"dataset_uri": "train.jsonl"},
        "dataset_uri: 'train.jsonl' is a path of one machine",
        "gs://BUCKET/PATH",
    ),
    "local evaluation set on Vertex": Mistake(
        VERTEX,
        {"evaluation_data_uri": "/data/eval.jsonl"},
        "evaluation_data_uri: '/data/eval.jsonl' is a path of one machine",
        "Copy it to a bucket",
    ),
    "evaluations below a file": Mistake(
        LOCAL,
        {"evaluation_output_root_dir": f"{__file__}/below"},
        "evaluation_output_root_dir: cannot write to '",
        "is a file. Allowed: a folder that can be made",
    ),
    "blank evaluation set": Mistake(
        LOCAL,
        {"evaluation_data_uri": " "},
        "evaluation_data_uri: is blank",
        "",
    ),
    "too many steps": Mistake(
        LOCAL, {"train_steps": 10**9}, "train_steps: 1000000000 is out", "up to"
    ),
    "the legacy method's rate": Mistake(
        VERTEX,
        {"learning_rate": 3.0},
        "learning_rate: 3.0 is out",
        "Rates such as 3.0 are those of the former method tune",
    ),
    "huge legacy rate": Mistake(
        VERTEX,
        {"learning_rate": 1e4, "tuning_method": "tune"},
        "learning_rate: 10000.0 is out",
        "from 0 to 1000",
    ),
    "NaN learning rate": Mistake(
        LOCAL, {"learning_rate": float("nan")}, "learning_rate: nan is out", ""
    ),
    "infinite learning rate": Mistake(
        LOCAL,
        {"learning_rate": float("-inf")},
        "learning_rate: -inf is out of range",
        "negative for the model's own",
    ),
    "negative multiplier": Mistake(
        LOCAL, {"learning_rate_multiplier": -1}, "multiplier: -1.0 is out", ""
    ),
    "NaN multiplier": Mistake(
        LOCAL, {"learning_rate_multiplier": float("nan")}, "multiplier: nan is", ""
    ),
    "no interval": Mistake(
        LOCAL, {"evaluation_interval": 0}, "evaluation_interval: 0 is out", "from 1"
    ),
    "negative seed": Mistake(LOCAL, {"seed": -1}, "seed: -1 is out of range", "4,294,967,295"),
    "misspelt model": Mistake(
        LOCAL,
        {"large_model_reference": "text-bisn@002"},
        "no model is called",
        "text-bison@002",
    ),
    "empty model": Mistake(
        LOCAL,
        {"large_model_reference": ""},
        "large_model_reference: is empty",
        "hf://",
    ),
    "unknown method": Mistake(
        LOCAL, {"tuning_method": "lora"}, "tuning_method: 'lora' is", "tune_v2"
    ),
    "legacy method elsewhere": Mistake(
        LOCAL, {"tuning_method": "tune"}, "published models' former", ""
    ),
    "unknown context": Mistake(LOCAL, {"max_context_length": "16k"}, "'16k' is unknown", "8k, 32k"),
    "context beyond the model": Mistake(
        LOCAL, {"max_context_length": "32k"}, "context of 16,384", "8k"
    ),
    "unknown checkpoint selection": Mistake(
        LOCAL,
        {"enable_checkpoint_selection": "yes"},
        "enable_checkpoint_selection: 'yes' is unknown",
        "true, false, default",
    ),
    "text with a context": Mistake(
        VERTEX,
        {"default_context": "You are a pirate."},
        "default_context: is given, but text-bison@002 takes text without a context",
        "a chat model",
    ),
    "text model in the chat template": Mistake(
        VERTEX,
        {"template": "tune-large-chat-model"},
        "text-bison@002 takes text, and tune-large-chat-model tunes chat models",
        "such as chat-bison@002",
    ),
    "empty display name": Mistake(
        LOCAL,
        {"model_display_name": " "},
        "' ' cannot name a model",
        "1 to 128",
    ),
    "long display name": Mistake(
        LOCAL,
        {"model_display_name": "n" * 129},
        "cannot name a model",
        "1 to 128",
    ),
    "display name of two lines": Mistake(
        LOCAL, {"model_display_name": "a\nb"}, "'a\\nb' cannot name", ""
    ),
    "no project": Mistake(VERTEX, {"project": ""}, "project: '' is no project", "6 to 30"),
    "malformed project": Mistake(
        VERTEX, {"project": "My Project"}, "'My Project' is no project", "id"
    ),
    "malformed endpoint": Mistake(
        VERTEX,
        {"api_endpoint": "not a host"},
        "'not a host' is no endpoint",
        "",
    ),
    "malformed account": Mistake(
        LOCAL, {"service_account": "me"}, "'me' is none", "gserviceaccount.com"
    ),
    "unknown gate": Mistake(
        LOCAL,
        {"gate_metric": "exact_mach", "evaluation_data_uri": "evaluation.jsonl"},
        "'exact_mach' is unknown",
        "exact_match?",
    ),
    "unknown primary metric": Mistake(
        LOCAL,
        {"primary_metric": "exact_mach", "evaluation_data_uri": "evaluation.jsonl"},
        "primary_metric: 'exact_mach' is no metric",
        "Did you mean exact_match?",
    ),
    "malformed metric of the user's own": Mistake(
        VERTEX, {"primary_metric": "my module:score"}, "'my module:score' is no metric", "module:"
    ),
    "metric of the user's own that is not here": Mistake(
        LOCAL,
        {"primary_metric": "no_such_module.scores:mine"},
        "primary_metric: there is no module no_such_module",
        "PYTHONPATH",
    ),
    "gate without evaluation": Mistake(
        LOCAL,
        {"gate_metric": "exact_match", "gate_threshold": 0.5},
        "gate_metric: a gate needs an evaluation set",
        "Give evaluation_data_uri",
    ),
    "threshold without metric": Mistake(
        LOCAL,
        {"gate_threshold": 0.5},
        "0.5 limits nothing",
        "gate_metric",
    ),
    "NaN threshold": Mistake(
        LOCAL,
        {"gate_threshold": float("nan")},
        "gate_threshold: nan is out",
        "finite",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_each_mistake_has_its_message(kind: str) -> None:
    assert_told(MISTAKES[kind])


@pytest.mark.parametrize(
    "accepted",
    [
        {"tensorboard_resource_id": "1234567890"},
        {"large_model_reference": "text-bison-001"},
        {"large_model_reference": "publishers/google/models/text-bison-002"},
        {"train_steps": 0},
        {"train_steps": -1},
        {"learning_rate": 3.0, "tuning_method": "tune"},
        {"dataset_uri": "/gcs/bucket/train.jsonl"},
        {"evaluation_data_uri": "/gcs/bucket/evaluation.jsonl"},
    ],
    ids=str,
)
def test_what_the_published_templates_accept_is_accepted(accepted: dict[str, Any]) -> None:
    assert not check(VERTEX, **accepted).warnings


def test_chat_models_may_have_a_context() -> None:
    for model in ("chat-bison@002", "byte-tiny"):
        check(
            VERTEX,
            large_model_reference=model,
            default_context="Be brief.",
            template="tune-large-chat-model",
        )
    check(VERTEX, large_model_reference="chat-bison@001", default_context="Be brief.")
