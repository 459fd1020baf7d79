"""The codes and phrases by which providers say why they refuse.

Every one of them is in an answer that a provider documents or sends; docs/providers.md has the table. Codes are whole, in
lower case, and of those for a lack of money and a used-up allowance, of which there are as many as providers, the shapes;
phrases are searched for in text that may quote anything, so they are as long as they need to be.
"""

from __future__ import annotations

import re
from typing import Final

from tidings.bus.messages import Reason

CODES: Final[dict[Reason, frozenset[str]]] = {
    Reason.QUOTA_EXHAUSTED: frozenset(
        {
            "1113",  # Zhipu: no balance; 1309, 1311, 1313-1315: the plan has expired or does not have this model
            "1309",
            "1311",
            "1314",
            "1315",
            "arrearage",
            "budget_exceeded",
            "openrouter_guardrail_budget",
            "openrouter_key_limit",
            "openrouter_workspace_budget",
        }
    ),
    Reason.CONTEXT_WINDOW: frozenset(
        {
            "context_length_exceeded",
            "context_window_exceeded",
            "exceed_context_size_error",
            "payload_too_large",
            "request_too_large",
            "string_above_max_length",
            "string_too_long",
            "1261",  # Zhipu
        }
    ),
    Reason.CONTENT_POLICY: frozenset(
        {
            "1301",  # Zhipu
            "content_filter",
            "content_policy_violation",
            "moderation_blocked",
            "prohibited_content",
            "responsibleaipolicyviolation",
        }
    ),
    Reason.AUTH: frozenset(
        {
            "accessdenied",
            "accessdeniedexception",
            "authenticationerror",
            "invalid_authentication_error",
            "permissiondenied",
            "account_deactivated",
            "api_key_invalid",
            "authentication",
            "authentication_error",
            "expiredtokenexception",
            "invalid_api_key",
            "organization_restricted",
            "permission_denied",
            "permission_error",
            "unauthenticated",
            "unauthorized",
            "unrecognizedclientexception",
        }
    ),
    Reason.RATE_LIMIT: frozenset(
        {
            "1302",  # Zhipu: too many at once; 1303: too often
            "1303",
            "in_flight_budget_exhausted",
            "rate_limit",
            "rate_limit_error",
            "rate_limit_reached_error",
            "ratelimitreached",
            "rate_limit_exceeded",
            "rate_limited",
            "ratelimitexceeded",
            "requests",
            "resource_exhausted",
            # OpenAI and AWS, also with a 503: not that no call gets through, but that we came too fast.
            "slow_down",
            "throttlingexception",
            "tokens",
            "too_many_requests",
            "too_many_requests_error",
            "toomanyrequestsexception",
            "userratelimitexceeded",
        }
    ),
    Reason.OVERLOADED: frozenset(
        {
            "1305",  # Zhipu: too many ask for this model
            "1312",
            "capacity_exceeded",
            "engine_overloaded",
            "engine_overloaded_error",
            "model_capacity_exhausted",
            "model_overloaded",
            "modelnotreadyexception",
            "overloaded",
            "overloaded_error",
            "provider_overloaded",
            "server_is_overloaded",
            "service_unavailable",
            "service_unavailable_error",
            "serviceunavailableexception",
            "unavailable",
        }
    ),
    Reason.TIMEOUT: frozenset({"deadline_exceeded", "modeltimeoutexception", "request_timeout", "timeout", "timeout_error"}),
    # What the model made was not what the provider could pass on; it may make something else the next time.
    Reason.SERVER_ERROR: frozenset(
        {"json_validate_failed", "modelerrorexception", "modelstreamerrorexception", "provider_unavailable", "tool_use_failed"}
    ),
    Reason.BAD_REQUEST: frozenset(
        {
            "failed_precondition",
            "invalid_argument",
            "invalid_request_error",
            "model_not_found",
            "not_found",
            "not_found_error",
            "validationexception",
        }
    ),
}

NO_MONEY: Final = re.compile(
    r"insufficient\w{0,20}(?:quota|balance|credit|fund)|(?:balance|credit|fund)s?\w{0,12}(?:insufficient|notenough|exhausted|depleted)"
    r"|(?:no|outof|notenough)(?:balance|credit|fund)|arrear|overdue|recharge|spend(?:ing)?limit|preconsume\w{0,6}quotafailed"
    r"|billing(?:error|hardlimit|limit|notactive|required|disabled)|payment(?:required|method|failed|pastdue)"
    r"|exceededcurrentquota|servicequotaexceeded"
)
"""The shape of a code, without its separators, that says that the account has no money or the plan no room."""

USED_UP: Final = re.compile(
    r"(?:quota|usagelimit|dailylimit|weeklylimit|monthlylimit)(?:exceeded|exhausted|reached|usedup)|^13(?:04|08|10|1[6-9]|2[01])$"
)
"""The shape of a code that says that an allowance is used up. At the end: Zhipu's, by the day, five hours, week and month."""

PER_MINUTE_CODE: Final = re.compile(r"^(?:requests?|tokens?|rate|rpm|tpm|minute)quota|allocationquota|ratequota")
"""The shape of a code that calls a limit by the minute a quota: Cerebras and DashScope do."""

_KEY: Final = (
    r"(?:missing|no|set|invalid|incorrect|valid) (?:\w+ ){0,2}(?:api[ _-]?key|credentials|signature)",
    r"api[ _-]?key (?:is |was )?(?:not valid|not found|invalid|missing|expired|reported)",
    r"security token included in the request is",
    r"invalid x-api-key",
    # A key read from a file with its line break cannot be sent in a header.
    r"control character detected in headers|illegal header value",
)

TEXTS: Final[dict[Reason, re.Pattern[str]]] = {
    reason: re.compile("|".join(patterns), re.IGNORECASE)
    for reason, patterns in {
        # No bare "billing" and no bare "quota": OpenAI, Groq and Azure advertise both in per-minute refusals.
        Reason.QUOTA_EXHAUSTED: (
            r"insufficient (?:\w+ ){0,2}(?:balance|credits?|funds)|(?<!_)insufficient_(?:balance|credits?|funds)",
            r"(?:balance|credits?|funds) (?:is |are |has been |have been )?(?:insufficient|not enough|exhausted|depleted)",
            r"balance (?:is )?too low|overdue (?:balance|payment|bill)|in arrears|account (?:is )?in good standing",
            r"service quota for (?:your|this) account",
            r"(?:plan|package|subscription) has expired",
            r"(?:out of|not enough|used all available|add more|have any|requires more) (?:\w{1,20} )?credits",
            r"(?:usage credits?|extra usage) (?:is|are) required",
            r"spend(?:ing)? limit|billing (?:hard |soft )?limit (?:has been |was |is )?(?:reached|exceeded)",
            r"monthly included credits",
            r"余额不足|餘額不足|欠费|欠費|無可用資源|无可用资源|账单.{0,4}逾期|套餐.{0,4}(?:到期|过期)",
            r"残高(?:が)?不足|잔액이? ?부족",
            r"enable billing",
            r"budget (?:limit|has been) exceeded",
            r"invalid_payment_instrument",
            r"perday",  # Google's name of a quota; the delay beside it says nothing about the day
        ),
        Reason.CONTEXT_WINDOW: (
            r"maximum context length",
            r"context[ _](?:length|window|limit|size)",
            r"prompt is too long",
            r"(?:input|request|prompt) (?:is )?too (?:long|large)",
            r"exceeds the maximum number of tokens",
            r"must have less than [0-9]+ tokens",
            r"reduce the length of",
            r"prompt_tokens \(\d+\) must be less than|exceeded model token limit",
            r"(?:输入|上下文|提示词|消息)[^。，,]{0,10}(?:过长|超长|超出|超过)",
        ),
        Reason.CONTENT_POLICY: (
            r"content (?:management )?polic",
            r"content[ _]filter",
            r"safety system",
            r"usage polic",
            r"flagged (?:for|as|by)",
            r"prohibited[ _]content",
            r"request blocked: ",
            r"敏感(?:内容|信息|词)|内容安全|违规内容|不安全或敏感",
        ),
        Reason.AUTH: (
            *_KEY,
            r"organization (?:has been disabled|must be verified)",
            r"(?:location|country|region)[\w, ]{0,40} (?:is )?not supported",
            r"not allowed to use|^operation not allowed",
            r"(?:密钥|令牌|鉴权|身份验证|api.?key)[^。，,]{0,8}(?:无效|错误|失败|过期|不正确)|无权|没有权限|权限不足",
        ),
        Reason.RATE_LIMIT: (
            r"rate[ _-]?limit",
            r"too many (?:requests|tokens)",
            r"throttl",
            r"resource[ _](?:has been )?exhausted",
            r"quota exceeded",
            r"速率限制|频率(?:限制|过高|超限|过快)|请求过于频繁|限流|并发(?:数|量)?(?:过高|过大|超|达到|已达)",
        ),
        Reason.OVERLOADED: (
            r"overloaded",
            r"(?:at|over|no|insufficient|exceeds?|exceeded) capacity|capacity exceeded",
            r"(?:temporarily|currently) unavailable",
            r"high (?:load|demand|traffic)",
            r"访问量过大|(?:系统|服务|服务器|模型)(?:正)?(?:繁忙|过载)|负载过高",
        ),
        Reason.TIMEOUT: (r"timed?[ -]?out", r"deadline exceeded"),
        Reason.CONNECTION: (
            r"connection (?:error|refused|reset|aborted|closed|lost)",
            r"(?:cannot|could not|failed to) connect",
            r"server disconnected",
            r"payload is not completed",
        ),
    }.items()
}

KEY: Final = re.compile("|".join(_KEY), re.IGNORECASE)
"""The key itself is refused, and not what it is used for."""

ACCESS: Final = re.compile(
    r"api[ _-]?key|(?:access|auth|bearer|security|invalid|expired|missing)[ _-]tokens?|token (?:is |has )?(?:invalid|expired)"
    r"|credential|auth(?:enticat|oriz|oris)|unauthori[sz]ed|permission|not (?:allowed|permitted|enabled|entitled)|denied"
    r"|access (?:\w{1,20} ){0,3}forbidden|(?:have|has|no|without|need|request) access|not have (?:\w{1,20} ){0,3}(?:access|right)"
    r"|account (?:\w{1,20} ){0,3}(?:disabled|locked|deactivated)",
    re.IGNORECASE,
)
"""Words about permissions: in a 403 they tell that the key is refused, or that it may not do this."""

LONG_PERIOD: Final = re.compile(
    r"(?:daily|weekly|monthly) (?!spend)(?:\w+ )?(?:limit|quota|budget)|(?:per|/)[ _-]?(?:day|week|month)(?![a-z])|\b[rt]pd\b"
    r"|per(?:day|week|month)"
    r"|(?:[每当单本今])(?:日|天|周|月)[^。，,]{0,12}(?:限额|限制|上限|额度|配额|次数|用量)",
    re.IGNORECASE,
)
"""A limit by the day, the week or the month."""

SHORT_PERIOD: Final = re.compile(
    r"per[ _-]?(?:minute|second)|per[ _-](?:min|sec)\b|(?:each|every) (?:minute|second)|/ ?(?:min|minute|sec|second)\b"
    r"|\b(?:rpm|rps|qps|qpm|tpm|tps)\b"
    r"|#(?:token|rate|request)s?-limit|concurren"
    r"|每(?:分钟|秒)|分钟内|并发|频率|速率",
    re.IGNORECASE,
)
"""A limit by the minute or by the second, or of how much at once; DashScope tells it by the place in its documentation only."""

ALLOWANCE: Final = re.compile(
    r"(?:reached|exceeded|hit) (?:\w{1,20} ){0,4}usage limit|usage limit (?:\w{1,20} ){0,2}(?:reached|exceeded|exhausted)"
    r"|free (?:quota|allowance) (?:\w{1,20} )?(?:used|exhausted|exceeded)|individual quota reached"
    r"|out of call volume quota|exhausted your (?:\w{1,20} )?(?:capacity|quota|allowance|limit)|hour allocated quota"
    r"|(?:weekly|monthly|daily)(?:/\w{1,20})? limit exhausted"
    r"|(?:[额額]度|配[额額]|用量|使用量|次[数數]|[资資]源包)[^。，,]{0,12}(?:不足|用完|[用耗][尽盡]|上限|超出|超[过過])|使用上限"
    r"|(?:已[达達]|[达達]到|超出|超[过過])[^。，,]{0,12}(?:[额額]度|配[额額])",
    re.IGNORECASE,
)
"""An allowance is used up that is not money: it comes back by itself, mostly after hours."""

QUOTA: Final = re.compile(
    r"(?:exceed(?:s|ed)?|exhausted|over|out of|reached) (?:[\w-]{1,20} ){0,3}quota"
    r"|quota (?:\w{1,20} ){0,3}(?:exceed|exhaust|reached|used up)",
    re.IGNORECASE,
)
"""Of a refusal that is no 429 the bare word is enough."""

NO_ALLOWANCE: Final = re.compile(r"\blimit:? 0(?!\d|[.,]\d)", re.IGNORECASE)
"""The limit itself is zero, as Gemini says it of a model that the free tier does not have: no time changes that."""

PLAN: Final = re.compile(
    r"exceeded (?:your )?current quota(?! of (?:requests|tokens))|plans? (?:and|&) billing|please (?:recharge|top[ -]up)"
    r"|请(?:先|及时|尽快)?充值",
    re.IGNORECASE,
)
"""OpenAI says this when the account has no money left, Gemini also at every per-minute limit, and others as an offer."""

UNREADABLE: Final = re.compile(
    r"expecting value: line|unable to get json response|error converting to valid response|"
    r"(?:empty or )?invalid response (?:object|from)|'choices' that is not a list",
    re.IGNORECASE,
)
"""litellm's words for a "200 OK" that it could not read; it calls that a 500, a 422 or a lost connection."""
