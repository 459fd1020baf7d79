"""The terminal: a live view over the whole screen, to see sessions and to steer them.

`layout` and `arrangement` say what stands where (pure), `feed` keeps the rows up to date, `asking` sends commands; the rest is
widgets of textual, which only who opens the view imports.
"""

from tidings.workers.terminal.app import WatchApp, watch_live
from tidings.workers.terminal.commentary import Commentary

__all__ = ["Commentary", "WatchApp", "watch_live"]
