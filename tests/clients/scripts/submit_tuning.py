"""Starts every kind of tuning that vertexai.language_models has, with every argument it sends."""

import json
import sys
import time

import our_templates
import pandas
import vertexai
from vertexai.language_models import (
    ChatModel,
    CodeChatModel,
    CodeGenerationModel,
    TextGenerationModel,
)
from vertexai.preview.language_models import TuningEvaluationSpec

project, templates, tensorboard = sys.argv[1:]
KEY = f"projects/{project}/locations/us-central1/keyRings/ring/cryptoKeys/key"
vertexai.init(
    project=project,
    location="us-central1",
    staging_bucket="gs://staging",
    encryption_spec_key_name=KEY,
)
our_templates.use(templates)
jobs = {}


def tune(model_class, base_model, **arguments):
    time.sleep(1)  # The SDK names jobs by the second.
    return model_class.from_pretrained(base_model).tune_model(**arguments)


jobs["text"] = tune(
    TextGenerationModel,
    "text-bison@002",
    training_data="gs://staging/train.jsonl",
    train_steps=240,
    learning_rate_multiplier=1.5,
    tuning_job_location="us-central1",
    tuned_model_location="us-central1",
    model_display_name="tuned-text",
    accelerator_type="GPU",
    max_context_length="8k",
    tuning_evaluation_spec=TuningEvaluationSpec(
        evaluation_data="gs://staging/eval.jsonl",
        evaluation_interval=30,
        enable_early_stopping=True,
        enable_checkpoint_selection=True,
        tensorboard=tensorboard,
    ),
)
jobs["frame"] = tune(
    TextGenerationModel,
    "text-bison",
    training_data=pandas.DataFrame(
        {"input_text": ["What is 1 + 1?"] * 12, "output_text": ["2"] * 12}
    ),
)
jobs["dataset"] = tune(
    TextGenerationModel,
    "text-bison@001",
    training_data=f"projects/{project}/locations/us-central1/datasets/1234",
)
jobs["code"] = tune(
    CodeGenerationModel,
    "code-bison@002",
    training_data="gs://staging/code.jsonl",
    train_steps=10,
    tuned_model_location="us-central1",
    max_context_length="32k",
    tuning_evaluation_spec=TuningEvaluationSpec(enable_checkpoint_selection=False),
)
jobs["chat"] = tune(
    ChatModel,
    "chat-bison@002",
    training_data="gs://staging/chat.jsonl",
    train_steps=10,
    learning_rate_multiplier=2.0,
    default_context="Answer as a pirate.",
    accelerator_type="GPU",
    tuning_evaluation_spec=TuningEvaluationSpec(tensorboard=tensorboard),
)
jobs["codechat"] = tune(
    CodeChatModel,
    "codechat-bison@002",
    training_data="gs://staging/chat.jsonl",
    model_display_name="tuned-codechat",
)
print(json.dumps({kind: job.pipeline_job_name for kind, job in jobs.items()}))
