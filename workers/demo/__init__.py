"""The demo: a fleet meets rate limits on one machine, live, and what it tells is held against what the provider recorded.

Its own Redis, its own provider, and a `Fleet` of the test kit with real processes. `scenario` says who there is, `script` is
what happens, `summary` compares what each source says (pure), `runner` puts it up, shows it and takes it down.
"""

from tidings.workers.demo.runner import run_demo

__all__ = ["run_demo"]
