"""What a model writes: engines that run it, and how an instance becomes its prompt.

Evaluation, the command ``predict`` and the prediction server share it, so that what is evaluated is
what is served.
"""
