"""What the providers of China answer when they do not answer; most of them through OpenAI's form."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.workers.retry.answers.documented import DATE, PLAN, Documented, anthropic, of, openai
from tidings.bus.messages import Reason
from tidings.workers.retry import advice

ZAI = "Z.ai docs, API error codes; "
MOONSHOT = "Kimi docs, error reference"
ALIYUN = "Alibaba Cloud docs, Model Studio: error codes"
ARK = "Volcengine docs 82379/1299023: error codes"


def zhipu(code: str, message: str) -> str:
    """Write an error as Zhipu does: a number, and words in Chinese or English."""
    return json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False)


_ROWS = of(
    "Zhipu, Moonshot, DashScope, MiniMax, Volcengine, SiliconFlow",
    Documented(
        "Zhipu: no balance, in Chinese",
        "openai",
        429,
        zhipu("1113", "余额不足或无可用资源包,请充值。"),
        Reason.QUOTA_EXHAUSTED,
        ZAI + "GitHub NousResearch/hermes-agent#74879",
        code="1113",
    ),
    Documented(
        "Zhipu: no balance, called a rate limit",
        "anthropic",
        429,
        anthropic("rate_limit_error", "[1113][Insufficient balance or no resource package. Please recharge.][x]", code="1113"),
        Reason.QUOTA_EXHAUSTED,
        "GitHub zai-org/feedback#789",
        code="rate_limit_error",
    ),
    Documented(
        "Zhipu: too many at once",
        "openai",
        429,
        zhipu("1302", "您的账户已达到速率限制，请您控制请求频率"),
        Reason.RATE_LIMIT,
        ZAI + "the words are ours",
        code="1302",
    ),
    Documented(
        "Zhipu: too many ask for this model",
        "openai",
        429,
        zhipu("1305", "该模型当前访问量过大，请您稍后再试"),
        Reason.OVERLOADED,
        "GitHub zhushanwen321/llm-simple-router#95",
        code="1305",
    ),
    Documented(
        "Z.ai: five hours used up; the time is Beijing's",
        "openai",
        429,
        zhipu("1308", "Usage limit reached for 5 hour. Your limit will reset at 2026-11-23 00:35:41"),
        Reason.RATE_LIMIT,
        "GitHub can1357/oh-my-pi#11014",
        headers=DATE,
        retry_after_s=16_541.0,
        code="1308",
    ),
    Documented(
        "Zhipu: five hours used up, in Chinese",
        "openai",
        429,
        zhipu("1308", "已达到 5 小时的使用上限。您的限额将在 2026-11-23 00:35:41 重置。"),
        Reason.RATE_LIMIT,
        "GitHub can1357/oh-my-pi#11014",
        headers=DATE,
        retry_after_s=16_541.0,
        code="1308",
    ),
    Documented(
        "Z.ai: week or month used up, with milliseconds beside it",
        "anthropic",
        429,
        anthropic(
            "rate_limit_error",
            "[1310][Weekly/Monthly Limit Exhausted. Your limit will reset at 2026-11-28 16:10:41]",
            code="1310",
        ),
        Reason.RATE_LIMIT,
        "GitHub Yeachan-Heo/gajae-code#1821",
        headers={**DATE, "retry-after-ms": "504641000"},
        retry_after_s=504_641.0,
        code="rate_limit_error",
        action=advice.DAY_ENDS,
    ),
    Documented(
        "Z.ai: the plan has expired",
        "openai",
        429,
        zhipu("1309", "Your GLM Coding Plan package has expired and is temporarily unavailable. Renew the subscription."),
        Reason.QUOTA_EXHAUSTED,
        "GitHub duolahypercho/codex-router#718",
        code="1309",
    ),
    Documented(
        "Moonshot: no money left, as a 403",
        "openai",
        403,
        openai(
            "Your account org-x is not active, organization org-x exceeded current quota, please check your plan and billing "
            "details",
            "exceeded_current_quota_error",
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub MoonshotAI/Kimi-K2#5",
        code="exceeded_current_quota_error",
    ),
    Documented(
        "Moonshot: no money left, as a 429",
        "openai",
        429,
        openai(
            "Your account org-x <ak-x> is suspended due to insufficient balance, please recharge your account or check your plan "
            "and billing details",
            "exceeded_current_quota_error",
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub continuedev/continue#11443",
        code="exceeded_current_quota_error",
    ),
    Documented(
        "Moonshot: requests per minute",
        "openai",
        429,
        openai(
            "Your account org-x request reached organization max RPM: 3, please try again after 1 seconds",
            "rate_limit_reached_error",
        ),
        Reason.RATE_LIMIT,
        MOONSHOT + "; the words are ours",
        retry_after_s=1.0,
        code="rate_limit_reached_error",
    ),
    Documented(
        "Kimi Code: the billing cycle's usage, as a 403",
        "openai",
        403,
        openai("You've reached your usage limit for this billing cycle.", "access_terminated_error"),
        Reason.QUOTA_EXHAUSTED,
        MOONSHOT,
        code="access_terminated_error",
    ),
    Documented(
        "Kimi Code: overloaded, called a rate limit",
        "openai",
        429,
        openai("The engine is currently overloaded, please try again later", "engine_overloaded_error"),
        Reason.OVERLOADED,
        MOONSHOT,
        code="engine_overloaded_error",
    ),
    Documented(
        "DashScope: arrears",
        "openai",
        400,
        openai("Access denied, please make sure your account is in good standing.", "Arrearage", "Arrearage"),
        Reason.QUOTA_EXHAUSTED,
        ALIYUN,
        code="Arrearage",
    ),
    Documented(
        "DashScope: tokens per minute, in the words for no money",
        "openai",
        429,
        openai(
            f"{PLAN} For details, see: https://help.aliyun.com/zh/model-studio/error-code#token-limit",
            "insufficient_quota",
            "insufficient_quota",
        ),
        Reason.RATE_LIMIT,
        "GitHub can1357/oh-my-pi#8476",
        code="insufficient_quota",
    ),
    Documented(
        "DashScope: its own form, a quota by the minute",
        "openai",
        429,
        json.dumps(
            {"code": "Throttling.AllocationQuota", "message": "Allocated quota exceeded, please increase your quota limit."}
        ),
        Reason.RATE_LIMIT,
        ALIYUN,
        code="Throttling.AllocationQuota",
    ),
    Documented(
        "DashScope: five hours of the plan",
        "openai",
        429,
        openai("hour allocated quota exceeded"),
        Reason.QUOTA_EXHAUSTED,
        "Alibaba Cloud docs, Model Studio: coding plan FAQ",
    ),
    Documented(
        "MiniMax: no balance, as a 500",
        "anthropic",
        500,
        anthropic("api_error", "insufficient balance (1008)"),
        Reason.QUOTA_EXHAUSTED,
        "GitHub MiniMax-AI/MiniMax-M2#62",
        code="api_error",
    ),
    Documented(
        "MiniMax: five hours of the plan, with their end",
        "anthropic",
        429,
        anthropic(
            "rate_limit_error",
            "usage limit exceeded, 5-hour usage limit reached for Token Plan Starter (0/0 used), resets at "
            "2026-11-22T15:00:00Z (2056)",
        ),
        Reason.RATE_LIMIT,
        "GitHub MiniMax-AI/MiniMax-M2.7#36",
        headers=DATE,
        retry_after_s=10_800.0,
        code="rate_limit_error",
    ),
    Documented(
        "Volcengine: overdue balance",
        "openai",
        403,
        openai(
            "The request failed because your account has an overdue balance. Request ID: x", "Forbidden", "AccountOverdueError"
        ),
        Reason.QUOTA_EXHAUSTED,
        ARK,
        code="AccountOverdueError",
    ),
    Documented(
        "Volcengine: no access",
        "openai",
        403,
        openai("The request failed because you do not have access to the requested resource.", "Forbidden", "AccessDenied"),
        Reason.AUTH,
        ARK,
        code="AccessDenied",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "SiliconFlow: no balance",
        "openai",
        403,
        json.dumps({"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}),
        Reason.QUOTA_EXHAUSTED,
        "SiliconFlow docs, error codes; no documentation of this body was found, the words are ours",
        code="30001",
    ),
    Documented(
        "SiliconFlow: tokens per minute",
        "openai",
        429,
        json.dumps({"message": "Request was rejected due to rate limiting. Details: TPM limit reached.", "data": None}),
        Reason.RATE_LIMIT,
        "GitHub AIDotNet/OpenDeepWiki#269",
    ),
    Documented(
        "SiliconFlow: prompt too long",
        "openai",
        400,
        json.dumps(
            {"code": 20015, "message": "length of prompt_tokens (68957) must be less than max_seq_len (65536).", "data": None}
        ),
        Reason.CONTEXT_WINDOW,
        "GitHub chatboxai/chatbox#2060",
        code="20015",
    ),
)
ASIAN = [replace(row, read_on="2026-12-01") for row in _ROWS]
