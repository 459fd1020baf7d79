"""The controller: decides the state of every session, and says to parents and children what follows from it.

``decision`` is the pure part: from what the record and the commands say to what is to be written.
"""

from tidings.workers.controller.controller import TRIES, Controller

__all__ = ["TRIES", "Controller"]
