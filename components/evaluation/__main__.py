"""``python -m kfp_llm_tuning.components.evaluation``: batch prediction as a plain command."""

from __future__ import annotations

from typing import Any

import click

from kfp_llm_tuning.components.evaluation.prediction_task import PredictionTask

_EPILOG = """\b
Exit codes: 0 the predictions are written, or with --continue-on-failure why there are none;
1 a mistake in arguments or data; 13 a fault of this program.
"""


@click.command(epilog=_EPILOG)
@click.option("--evaluation-records", required=True, help="Output folder of preprocess-dataset.")
@click.option("--training-records", required=True, help="The same of the training set.")
@click.option("--predictions", required=True, help="Where the predictions go.")
@click.option("--saved-model", default="", help="Folder of a tuned model; empty for a base model.")
@click.option("--model-reference", default="", help="The base model.")
@click.option("--tuning-method", default="tune_v2", show_default=True)
@click.option("--accelerator", default="GPU", show_default=True, help="TPU or GPU.")
@click.option("--max-context-length", default="", help="8k, 32k, or empty.")
@click.option("--continue-on-failure", is_flag=True, help="Write down a failure, and exit with 0.")
def main(**values: Any) -> None:
    """Answers every prompt of an evaluation set with a base model or a tuned one.

    Every folder may be a path or a URI (gs://, s3:// ...).
    """
    from kfp_llm_tuning.components.evaluation.prediction_command import carry_out

    carry_out(PredictionTask(**values))


if __name__ == "__main__":
    main()
