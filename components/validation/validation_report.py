"""The report of a dataset's validation, for people."""

from __future__ import annotations

from importlib.util import find_spec

from kfp_llm_tuning.components.common.report import render
from kfp_llm_tuning.components.common.wording import counted, escape
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.validation.dataset import Validation
from kfp_llm_tuning.components.validation.summary import Summary

# More bars are hard to read; the rest is counted.
_MOST_BARS = 30
# So many problems are shown at once, so that the charts are not far below; a click shows the rest.
_UNFOLDED_PROBLEMS = 5


def render_report(validation: Validation) -> str:
    """Writes the report.

    Args:
        validation: What the check found.

    Returns:
        A complete HTML document.
    """
    summary = validation.summary
    named = (("Training", summary.training), ("Evaluation", summary.evaluation))
    return render(
        "validation/report.html.j2",
        title="Dataset check",
        summary=summary,
        sets=[(name, dataset) for name, dataset in named if dataset],
        charts=_charts(validation),
        can_draw=find_spec("matplotlib") is not None,
        unfolded=_UNFOLDED_PROBLEMS,
        hidden_labels=max(0, len(summary.training.labels) - _MOST_BARS),
    )


def _charts(validation: Validation) -> list[str]:
    """Draws the charts; none in a plain install, which has nothing to draw with."""
    if find_spec("matplotlib") is None:
        return []
    from kfp_llm_tuning.components.common.charts import histogram

    summary, values = validation.summary, validation.histograms
    charts = []
    is_chat = summary.row_format == RowFormat.CHAT
    inputs, outputs = ("conversations", "assistant messages") if is_chat else ("examples",) * 2
    for title, tokens, lengths, unit in (
        ("Input tokens", values.input_tokens, summary.training.input_tokens, inputs),
        ("Output tokens", values.output_tokens, summary.training.output_tokens, outputs),
    ):
        if lengths:
            # The limit is drawn where it helps: next to texts that come near it.
            limit = lengths.limit if lengths.maximum > lengths.limit / 2 else None
            charts.append(histogram(tokens.values(), title, "tokens", unit, limit))
    return charts + _bar_charts(summary)


def _bar_charts(summary: Summary) -> list[str]:
    from kfp_llm_tuning.components.common.charts import bars

    charts = []
    labels = list(summary.training.labels.items())[:_MOST_BARS]
    if labels:
        names = [escape(name) for name, _ in labels]
        charts.append(bars(names, [count for _, count in labels], "Labels", "examples"))
    pairs = summary.training.conversation_pairs
    if pairs:
        names = [counted(number, "pair") for number in pairs]
        charts.append(bars(names, list(pairs.values()), "Conversations", "conversations"))
    return charts
