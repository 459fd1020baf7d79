"""What a person types to start this same command line again."""

from __future__ import annotations

import os
import shlex
import shutil
import sys


def own_name() -> str:
    """Return how a person starts this same command line in another terminal of this folder."""
    started = sys.argv[0]
    if os.path.basename(started) != "tidings":
        return shlex.join([sys.executable, "-m", "tidings"])
    found = shutil.which("tidings")
    if found and os.path.realpath(found) == os.path.realpath(started):
        return "tidings"
    return shlex.quote(os.path.abspath(started))
