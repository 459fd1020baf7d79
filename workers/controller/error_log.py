"""Log each session that goes to the state error, whichever process put it there."""

from __future__ import annotations

import logging
from collections import OrderedDict

from tidings.bus import InvalidMessage, Message, SessionState, State, carries
from tidings.bus.messages import decode_notice
from tidings.bus.redaction import one_line

log = logging.getLogger("tidings.controller")

KEPT = 1000
"""Changes that are kept in mind, so that each is logged once."""
_TEXT = 500
"""Characters of a reason why in a line."""


class Errors:
    """Logs each change of a session to ``error`` once: those of workers as they are heard, one's own as they are written."""

    def __init__(self) -> None:
        self._logged: OrderedDict[str, None] = OrderedDict()

    def hear(self, payload: bytes) -> None:
        """Take in what was told on a channel; what is no change to ``error`` is passed over without being decoded."""
        if b'"session.state"' not in payload or b'"to":"error"' not in payload:
            return
        try:
            notice = decode_notice(payload)
        except InvalidMessage:
            return
        if carries(notice, SessionState):
            self.tell(notice)

    def tell(self, notice: Message[SessionState]) -> None:
        """Log a change of state if it is one to ``error`` and was not logged before."""
        told = notice.data
        if told.to is not State.ERROR or told.from_ is State.ERROR or notice.id in self._logged:
            return
        self._logged[notice.id] = None
        if len(self._logged) > KEPT:
            self._logged.popitem(last=False)
        reason = told.reason.value if told.reason else None
        log.error("session.error", extra={"session": notice.session, "reason": reason, "why": one_line(told.why, _TEXT)})
