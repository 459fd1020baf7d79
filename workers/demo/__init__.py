"""The demo: a fleet meets rate limits on one machine, live, and its notices are compared with what the provider recorded.

Its own Redis, its own provider, and a `Fleet` of the test kit with real processes. `scenario` has the sessions and
settings, `script` what happens, `summary` compares the sources (pure), `runner` starts it, shows it and ends it.
"""

from tidings.workers.demo.runner import run_demo

__all__ = ["run_demo"]
