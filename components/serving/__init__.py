"""The prediction server: a tuned model that answers over HTTP.

The published endpoints' contract on one route, OpenAI's API under ``/v1``.
"""
