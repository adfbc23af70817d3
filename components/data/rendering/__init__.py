"""How text and conversations are written for a model, and turned into its tokens.

One rendering: validation, encoding, evaluation, batch prediction and serving import it from here.
"""
