"""The terminal: a live view over the whole screen, to see sessions and to steer them.

`layout` says what stands where (pure), `feed` keeps the rows up to date, `asking` sends commands; the rest is
widgets of textual, which is imported when the view is opened.
"""

from tidings.workers.terminal.app import WatchApp, watch_live
from tidings.workers.terminal.commentary import Commentary

__all__ = ["Commentary", "WatchApp", "watch_live"]
