"""The demo: a fleet meets rate limits on one machine, live, and what it tells is held against what the provider recorded.

Its own Redis, its own provider, real controllers and workers as processes of their own. `cast` says who plays and what is said,
`stage` runs the processes, `story` is what happens, `witness` hears what is told, `evidence` is what each source says, `checks`
compares (pure), `summary` says whether all of it is true.
"""

from workers.demo.performance import run_demo

__all__ = ["run_demo"]
