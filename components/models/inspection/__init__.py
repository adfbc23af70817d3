"""Examines a base checkpoint before anything is spent on it: can it be tuned, and then be saved?

`inspect.py` is the one entry. It reads configuration, tokenizer, generation settings and the
headers of the weights, never the weights, and collects all that stands against tuning with its
mend.
"""
