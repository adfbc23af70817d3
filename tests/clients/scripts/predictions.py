"""What users of vertexai.language_models and aiplatform.Endpoint ask of a tuned model."""

import json

from google.api_core.exceptions import BadRequest
from google.cloud import aiplatform
from vertexai.language_models import InputOutputTextPair

# The published models take 8,192 tokens; one byte is one token here.
LONG = "How long? " * 1000
# Weights that were hardly tuned may put the end of the answer first, or half a character; biased
# this way they choose among small letters, of which byte-tiny has one a token.
LETTERS = {str(3 + byte): 20.0 for byte in range(ord("a"), ord("z") + 1)}
NO_A = {**LETTERS, str(3 + ord("a")): -100.0}
JSON = {"Content-Type": "application/json"}


def text(model):
    """Every parameter of TextGenerationModel.predict."""
    asked = {"max_output_tokens": 8, "temperature": 0.0, "logit_bias": LETTERS}
    greedy = model.predict("What is 1 + 1?", **asked)
    sampling = {
        "max_output_tokens": 8,
        "temperature": 0.9,
        "top_k": 40,
        "top_p": 0.95,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "logit_bias": NO_A,
        "candidate_count": 2,
    }
    drawn = [texts(model.predict("Hello", seed=seed, **sampling)) for seed in (7, 7, 8)]
    scored = model.predict("What is 1 + 1?", max_output_tokens=3, logprobs=2, logit_bias=LETTERS)
    stopped = model.predict("What is 1 + 1?", stop_sequences=[greedy.text[2]], **asked)
    return {
        "greedy": greedy.text,
        "safety": [greedy.is_blocked, dict(greedy.safety_attributes)],
        "drawn": drawn,
        "stopped": stopped.text,
        "logprobs": scored.raw_prediction_response.predictions[0]["logprobs"],
        "metadata": greedy.raw_prediction_response.metadata,
        "too_long": error_of(model.predict, LONG),
        "too_many": error_of(model.predict, "Hello", max_output_tokens=1025),
    }


def briefly(model):
    """What tells that a model answers."""
    return {
        "greedy": model.predict("What is 1 + 1?", max_output_tokens=8, temperature=0.0).text,
        "too_long": error_of(model.predict, LONG),
    }


def code(model):
    """A completion, one between a prefix and a suffix, and several."""
    asked = {"max_output_tokens": 8, "temperature": 0.0}
    drawn = model.predict("def add_4(x):", temperature=0.9, candidate_count=2, max_output_tokens=4)
    return {
        "greedy": model.predict(prefix="def add_3(x):", **asked).text,
        "filled": model.predict(prefix="def add_3(x):", suffix="\n", **asked).text,
        "drawn": texts(drawn),
        "too_long": error_of(model.predict, prefix=LONG),
    }


def chat(model):
    """A session of three turns, the last with several candidates."""
    examples = [InputOutputTextPair("Where is order 1?", "Order 1 is at sea.")]
    session = model.start_chat(
        context="Answer as a pirate.", examples=examples, max_output_tokens=8, temperature=0.0
    )
    first = session.send_message("Where is my order?")
    second = session.send_message("When does it come?", max_output_tokens=4)
    third = session.send_message("Really?", candidate_count=2, temperature=0.9, top_k=40)
    return {
        "greedy": first.text,
        "answers": [first.text, second.text, third.text],
        "drawn": texts(third),
        "history": [(message.author, message.content) for message in session.message_history],
        "too_long": error_of(session.send_message, LONG),
    }


def endpoint(model):
    """The same model without vertexai.language_models."""
    served = aiplatform.Endpoint(model._endpoint_name)
    asked = {
        "instances": [{"prompt": "What is 1 + 1?"}, {"prompt": "What is 2 + 1?"}],
        "parameters": {"maxOutputTokens": 8, "temperature": 0, "logitBias": LETTERS},
    }
    raw = served.raw_predict(json.dumps(asked).encode(), JSON)
    streamed = {**asked, "instances": asked["instances"][:1], "stream": True}
    lines = served.stream_raw_predict(json.dumps(streamed).encode(), JSON)
    refused = served.raw_predict(b'{"instances": []}', JSON)
    return {
        "predicted": contents(served.predict(**asked).predictions),
        "raw": contents(raw.json()["predictions"]),
        "streamed": [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")],
        "refused": [refused.status_code, refused.json()["error"]["message"]],
    }


def texts(response):
    return [candidate.text for candidate in response.candidates]


def contents(predictions):
    return [prediction["content"] for prediction in predictions]


def error_of(ask, *arguments, **options):
    try:
        ask(*arguments, **options)
    except BadRequest as error:
        return str(error)
    return ""
