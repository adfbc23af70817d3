"""``python -m kfp_llm_tuning.components.serving``: the container's command.

Settings come from the environment: Vertex AI's ``AIP_`` variables, and ours. Exit codes: 0 told to
end; 1 a setting or the model is wrong; 13 a fault of this program.
"""

from __future__ import annotations

import logging
import os
from functools import partial

from kfp_llm_tuning.components.common.errors import exit_on_error
from kfp_llm_tuning.components.serving import logs
from kfp_llm_tuning.components.serving.settings import from_environment

_logger = logging.getLogger("kfp_llm_tuning.components.serving")


def main() -> None:
    """Serves the model that AIP_STORAGE_URI names."""
    with exit_on_error():
        settings = from_environment(os.environ)
        logs.configure()
        from kfp_llm_tuning.components.serving import listening, server
        from kfp_llm_tuning.components.serving.model_loading import load_model

        listener = listening.listen(settings)
        url = listening.address(listener)
        _logger.info("Listening at %s.", url, extra={"url": url, "model": settings.model})
        server.run(settings, listener, partial(load_model, settings))


if __name__ == "__main__":
    main()
