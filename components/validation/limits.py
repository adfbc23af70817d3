"""Every number that a dataset is held to, and where it comes from.

"Template" numbers are enforced by the published tuning templates; "documentation" numbers are the
public documentation's advice for supervised tuning of text models; the others are this package's.
"""

from __future__ import annotations

# Template: fewer or more refuse the run.
MINIMUM_EXAMPLES = 10
MAXIMUM_EXAMPLES = 10_000
# Template, chat: messages of all conversations together ("authors").
MAXIMUM_MESSAGES = 10_000
# Template accepts 256 evaluation examples, the documentation says 250.
MAXIMUM_EVALUATION_EXAMPLES = 256
ADVISED_EVALUATION_EXAMPLES = 250
# Documentation: 100 to 500 examples or more; conversations of two to three pairs.
ADVISED_EXAMPLES = 100
ADVISED_PAIRS = (2, 3)

# The longest line that is read, in bytes: a bound on memory. An example that fills a context of
# 8,192 tokens takes about 32 KiB, so only a `data` list comes near it.
MAXIMUM_LINE_BYTES = 32 * 2**20
# What duplicates, labels and tokens are looked at in: every example of the largest allowed set.
ADVISED_WINDOW = MAXIMUM_EXAMPLES
# Passes over the data outside which a warning asks whether train_steps is meant.
ADVISED_EPOCHS = (1, 100)
