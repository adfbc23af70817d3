"""Tunes a model to the end, finds it (get_tuned_model, list_tuned_model_names) and asks it."""

import json
import sys

import our_templates
import pandas
import predictions
import vertexai
from google.cloud import aiplatform
from vertexai.language_models import (
    ChatModel,
    CodeGenerationModel,
    TextGenerationModel,
)
from vertexai.preview.language_models import TextGenerationModel as PreviewTextGenerationModel
from vertexai.preview.language_models import TuningEvaluationSpec

kind, project, templates = sys.argv[1:]
vertexai.init(project=project, location="us-central1", staging_bucket="gs://staging")
our_templates.use(templates)


def tune_text():
    return TextGenerationModel.from_pretrained("text-bison@002").tune_model(
        training_data="gs://staging/train.jsonl",
        train_steps=4,
        model_display_name="tuned-text",
        accelerator_type="GPU",
        tuning_evaluation_spec=TuningEvaluationSpec(
            evaluation_data="gs://staging/eval.jsonl",
            evaluation_interval=2,
            enable_early_stopping=True,
            enable_checkpoint_selection=True,
            tensorboard=aiplatform.Tensorboard.create(display_name="curves"),
        ),
    )


def tune_code():
    rows = [[f"def add_{n}(x):", f"    return x + {n}"] for n in range(16)]
    return CodeGenerationModel.from_pretrained("code-bison@002").tune_model(
        training_data=pandas.DataFrame(rows, columns=["input_text", "output_text"]), train_steps=2
    )


def tune_chat():
    return ChatModel.from_pretrained("chat-bison@002").tune_model(
        training_data="gs://staging/chat.jsonl",
        train_steps=2,
        default_context="Answer as a pirate.",
    )


def tune_preview():
    dataset = aiplatform.TextDataset.create(
        display_name="sums",
        gcs_source="gs://staging/train.jsonl",
        import_schema_uri=aiplatform.schema.dataset.ioformat.text.sentiment,
    )
    return PreviewTextGenerationModel.from_pretrained("text-bison@001").tune_model(
        training_data=dataset.resource_name, train_steps=2, learning_rate=0.01
    )


tune, ask, base_model = {
    "text": (tune_text, predictions.text, "text-bison@002"),
    "preview": (tune_preview, predictions.briefly, "text-bison@001"),
    "code": (tune_code, predictions.code, "code-bison@002"),
    "chat": (tune_chat, predictions.chat, "chat-bison@002"),
}[kind]
job = tune()
tuned_model = job.get_tuned_model()
[name] = type(tuned_model).from_pretrained(base_model).list_tuned_model_names()
experiments = [
    experiment.display_name
    for tensorboard in aiplatform.Tensorboard.list()
    for experiment in aiplatform.TensorboardExperiment.list(tensorboard.resource_name)
]
report = {
    "job": job.pipeline_job_name,
    "model": name,
    "endpoint": tuned_model._endpoint_name,
    "experiments": experiments,
    "answers": ask(tuned_model),
    "answers_of_loaded": ask(type(tuned_model).get_tuned_model(name)),
    "answers_of_endpoint": predictions.endpoint(tuned_model) if kind == "text" else {},
}
print(json.dumps(report))
