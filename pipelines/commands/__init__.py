"""One module a subcommand of ``kfp-llm-tuning``, loaded only when it is called."""
