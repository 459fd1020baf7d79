"""Find in words for people how long to wait: "try again in 1m30s", "resets at 2026-12-01 10:00 UTC", "请在 30 秒后重试".

A number counts only where it stands beside such words: after them ("available again in 5 minutes"), or before them ("30
seconds until the limit resets"), with nothing between but the small words that lead there. What stands first counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timezone
from typing import Final

from tidings.workers.retry import fields, times
from tidings.workers.retry.fields import WaitHint

_TRIGGERS: Final = 50

_ASK: Final = (
    r"try (?:\w{1,12} ){0,3}?again|try|retry(?:ing)?|re-?attempt|(?<!max )(?<!maximum )wait|come back|back off|cool ?down"
    r"|warten sie|versuchen sie es|r[ée]essaye[zr]|patiente[zr]|int[ée]nte?lo|vuelva a intentarlo|espere|tente novamente|aguarde"
    r"|riprova\w{0,2}"
    r"|повторите|подождите|等待|稍候|稍等|冷却"
)
_RESET: Final = (
    r"resets?|resetting|available(?: again)?(?= (?:again|in|at|on|from|after|by) )|renew(?:s|ed)?"
    r"|refill(?:s|ed)?|refresh(?:es|ed)?|replenish(?:es|ed)?|regain access"
    r"|restored?|restores|unblocked|unlocks?|unlocked|lifted|limit reached(?=\|)|重置|恢复|刷新|解除|解封|リセット|초기화"
)
_TRIGGER: Final = re.compile(rf"(?<![a-z])(?:(?P<ask>{_ASK})|(?P<reset>{_RESET}))(?![a-z])", re.IGNORECASE)
_LEADING: Final = re.compile(
    r"(?:[ \t:：=≈~|∙·(\[\"'`，,]{1,3}|(?:again|after|in|for|at|on|until|till|by|from|another|an additional|least|about|around"
    r"|approximately|approx\.?|roughly|(?:your|the|this|a|next|same) (?:next )?(?:request|limit|quota|call)s?|(?:re)?quest|it"
    r"|time|date|is|please|erneut|wieder|nach|dans|en|dentro de|em|tra|fra|de nuevo|di nuovo|попытку|через)(?![a-z])"
    r"|[0-9]{1,3}\ ?(?:-|–|~|to|bis|至|到)\ ?(?=[0-9]{1,4}\ ?[a-z秒分小天])"  # of "3 to 5 minutes" the longer
    r"|时间|時間|日期|为|為|是|在|于|於|约|至少|大约){0,8}",
    re.IGNORECASE,
)
_TRAILING: Final = re.compile(
    r" ?(?:left|remaining)? ?(?:"
    r",? ?(?:you (?:can|may)|please) (?:re)?try(?![a-z])"
    r"|(?:until|before|till) (?:(?:the|your|next|it|limit|quota|usage|window|you|can|may|rate|is|will) ){0,5}"
    r"(?:(?P<until>resets?|refills?|renewal|is available|available)|retry(?:ing)?|try(?:ing)?|sending|making)(?![a-z])"
    r"|[内內]?(?:後に|[之以]?[后後]|후에?)[，,]? ?(?:再|可|即可|重新|自动|自動|将|會|会|才能|才可|进行|发起|请){0,4} ?"
    r"(?:(?P<back>恢复|重置|刷新|解除|解封|リセット|초기화)|重试|重試|再试|再試行|再次|再度|试|嘗試|尝试|请求|访问|使用|調用|调用|もう一度|お試し|다시|재시도)"
    r"|(?:自动|自動)?(?P<then>重置|恢复|刷新|解除|解封)"
    r"|(?: erneut| wieder)"
    r")",
    re.IGNORECASE,
)
_AGO: Final = re.compile(r" ?(?:ago|earlier|前|以前)", re.IGNORECASE)
_PAIR: Final = re.compile(r"(?<![A-Za-z0-9_-])([A-Za-z][A-Za-z_-]{3,39})[\"']? ?[:=] ?[\"']?([0-9][0-9A-Za-z:.+-]{0,39})")
# Zhipu and Z.ai write the time of Beijing without saying so, also in English (can1357/oh-my-pi#11014).
_BEIJING: Final = re.compile(r"[\u4e00-\u9fff]|your limit will reset at", re.IGNORECASE)


def zone_of(text: str) -> timezone:
    """Say what zone a date without one is in."""
    return times.BEIJING if _BEIJING.search(text) else UTC


def waits(text: str, *, now: datetime, zone: timezone) -> Iterator[WaitHint]:
    """Yield the waits that a text names, those of the future and those after their words first."""
    for wait in (*_named(text, now, zone), *_after(text, now, zone), *_before(text, now, zone)):
        if wait.seconds > 0:
            yield wait


def _named(text: str, now: datetime, zone: timezone) -> Iterator[WaitHint]:
    """Read what is written as a field in the middle of words: `retry_after=30`, also of JSON that is none."""
    for name, value in _PAIR.findall(text):
        found = fields.wait(fields.words(name), value, now=now, zone=zone)
        if found:
            yield found


def _after(text: str, now: datetime, zone: timezone) -> Iterator[WaitHint]:
    for count, trigger in enumerate(_TRIGGER.finditer(text)):
        if count >= _TRIGGERS:
            return
        leading = _LEADING.match(text, trigger.end())
        start = leading.end() if leading else trigger.end()
        found = times.told_at(text, start, now=now, zone=zone)
        if found and start > trigger.end() and not _AGO.match(text, found[1]):
            yield WaitHint(found[0], trigger["reset"] is not None)


def _before(text: str, now: datetime, zone: timezone) -> Iterator[WaitHint]:
    for seconds, end in times.spans(text, now=now, zone=zone):
        trailing = _TRAILING.match(text, end)
        if trailing:
            yield WaitHint(seconds, any(trailing[name] for name in ("until", "back", "then")))
