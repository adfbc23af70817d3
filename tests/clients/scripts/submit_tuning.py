"""Starts every kind of tuning that vertexai.language_models has, with every argument it sends."""

import json
import sys

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

jobs["text"] = TextGenerationModel.from_pretrained("text-bison@002").tune_model(
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
jobs["frame"] = TextGenerationModel.from_pretrained("text-bison").tune_model(
    training_data=pandas.DataFrame(
        {"input_text": ["What is 1 + 1?"] * 12, "output_text": ["2"] * 12}
    ),
)
jobs["dataset"] = TextGenerationModel.from_pretrained("text-bison@001").tune_model(
    training_data=f"projects/{project}/locations/us-central1/datasets/1234",
)
jobs["code"] = CodeGenerationModel.from_pretrained("code-bison@002").tune_model(
    training_data="gs://staging/code.jsonl",
    train_steps=10,
    tuned_model_location="us-central1",
    max_context_length="32k",
    tuning_evaluation_spec=TuningEvaluationSpec(enable_checkpoint_selection=False),
)
jobs["chat"] = ChatModel.from_pretrained("chat-bison@002").tune_model(
    training_data="gs://staging/chat.jsonl",
    train_steps=10,
    learning_rate_multiplier=2.0,
    default_context="Answer as a pirate.",
    accelerator_type="GPU",
    tuning_evaluation_spec=TuningEvaluationSpec(tensorboard=tensorboard),
)
jobs["codechat"] = CodeChatModel.from_pretrained("codechat-bison@002").tune_model(
    training_data="gs://staging/chat.jsonl", model_display_name="tuned-codechat"
)
print(json.dumps({kind: job.pipeline_job_name for kind, job in jobs.items()}))
