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
# Values of one line's JSON, those in lists and objects included: each takes a hundred bytes and
# more of memory, however short it is. A `data` list of 10,000 examples with twenty fields has less.
MAXIMUM_LINE_VALUES = 250_000
# Characters of one example, a conversation's messages together: several times what a context of
# 131,072 tokens takes. Tokens, sketches and rendered prompts take a hundred times as many bytes.
MAXIMUM_EXAMPLE_CHARACTERS = 2 * 2**20
# A conversation's characters times its answers: what rendering each with its history amounts to.
MAXIMUM_HISTORY_CHARACTERS = 64 * 2**20
# Names of fields that are not read: so many are told apart, each by so many characters.
MAXIMUM_FIELD_NAMES = 1_000
MAXIMUM_FIELD_NAME_CHARACTERS = 100
# What duplicates, labels and tokens are looked at in: every example of the largest allowed set.
ADVISED_WINDOW = MAXIMUM_EXAMPLES
# Passes over the data outside which a warning asks whether train_steps is meant.
ADVISED_EPOCHS = (1, 100)
