"""Every number that rows are held to, and where it comes from.

"Documentation" numbers are the public documentation's advice for supervised tuning of text models;
the others are this package's. How many examples a set may have is the model's affair:
``components/models/dataset_limits.py``.
"""

from __future__ import annotations

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
# Passes over the data outside which a warning asks whether train_steps is meant.
ADVISED_EPOCHS = (1, 100)
