"""The pipeline's task: checks a dataset, writes what was found, then fails if it is bad."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from kfp_llm_tuning.components.common.errors import raise_all
from kfp_llm_tuning.components.common.folders import write_atomically
from kfp_llm_tuning.components.common.report import written
from kfp_llm_tuning.components.data.reading.findings import Severity, list_problems
from kfp_llm_tuning.components.validation.base_model import NOT_CHECKED
from kfp_llm_tuning.components.validation.dataset import Request, validate_dataset
from kfp_llm_tuning.components.validation.validation_report import render_report

_logger = logging.getLogger(__name__)


def validate_to_files(
    request: Request,
    summary_path: str,
    report_path: str,
    log_metric: Callable[[str, float], object],
) -> None:
    """Checks a dataset and writes summary and report, whatever the verdict.

    Args:
        request: What is to be checked.
        summary_path: Takes the summary as JSON.
        report_path: Takes the HTML report.
        log_metric: Called with every metric's name and value.

    Raises:
        UserError: With every printed error, if the dataset is bad.
    """
    validation = validate_dataset(request)
    write_atomically(Path(summary_path), validation.summary.to_json())
    write_atomically(Path(report_path), written("Dataset check", lambda: render_report(validation)))
    for name, value in validation.summary.metrics().items():
        log_metric(name, value)
    warnings = validation.findings.printed(Severity.WARNING)
    for problem in list_problems(validation.findings, Severity.WARNING):
        _logger.warning("%s", problem)
    for problem in list_problems(validation.findings, Severity.NOTE):
        _logger.info("%s", problem)
    for sentence in validation.summary.bounded:
        _logger.info("%s", sentence)
    # The tasks after this one need the model: it is told here, once, that none of them gets it.
    raise_all(
        [
            *(finding.problem() for finding in warnings if finding.kind == NOT_CHECKED),
            *list_problems(validation.findings),
        ]
    )
