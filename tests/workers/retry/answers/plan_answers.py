"""What subscriptions, and gateways with quotas of their own, answer when they do not answer."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.workers.retry.answers.documented import DATE, Documented, anthropic, google, google_reason, of, openai, retry_info
from tidings.bus.messages import Reason
from tidings.workers.retry import advice

NOON = 1_795_348_800
"""`DATE` as a Unix time."""
CODEX = "GitHub router-for-me/CLIProxyAPI#1666"
IETF = "IETF draft-ietf-httpapi-ratelimit-headers"


def unified(**reset_s: int) -> dict[str, str]:
    """Write Anthropic's headers of a subscription: which of its windows refuses, and when it opens."""
    headers = {"anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-7d-status": "allowed"}
    headers["anthropic-ratelimit-unified-7d-reset"] = str(NOON + 300_000)
    for window, seconds in reset_s.items():
        headers[f"anthropic-ratelimit-unified-{window.strip('_')}-status"] = "rejected"
        headers[f"anthropic-ratelimit-unified-{window.strip('_')}-reset"] = str(NOON + seconds)
    return {**DATE, **headers}


def used_up(seconds: int) -> str:
    """Write ChatGPT's refusal of a plan whose window is used up."""
    error = {"type": "usage_limit_reached", "message": "The usage limit has been reached", "plan_type": "plus"}
    return json.dumps({"error": {**error, "resets_at": NOON + seconds, "resets_in_seconds": seconds}})


def code_assist(message: str, delay: str, instant: str) -> str:
    """Write Google's refusal of a Code Assist plan."""
    metadata = {"quotaResetTimeStamp": instant, "quotaResetDelay": delay, "uiMessage": "true"}
    return google(
        429, "RESOURCE_EXHAUSTED", message, {**google_reason("QUOTA_EXHAUSTED"), "metadata": metadata}, retry_info(delay)
    )


_ROWS = of(
    "Subscriptions and gateways",
    Documented(
        "ChatGPT plan: the window ends in hours",
        "openai",
        429,
        used_up(13_872),
        Reason.RATE_LIMIT,
        CODEX,
        headers=DATE,
        retry_after_s=13_872.0,
        code="usage_limit_reached",
    ),
    Documented(
        "ChatGPT plan: the window ends in days",
        "openai",
        429,
        used_up(529_498),
        Reason.RATE_LIMIT,
        CODEX,
        headers=DATE,
        retry_after_s=529_498.0,
        code="usage_limit_reached",
    ),
    Documented(
        "ChatGPT plan: two windows in headers, one of them used up",
        "openai",
        429,
        openai("The usage limit has been reached", "usage_limit_reached"),
        Reason.RATE_LIMIT,
        "GitHub earendil-works/pi#4172",
        headers={
            "x-codex-primary-used-percent": "100",
            "x-codex-primary-reset-after-seconds": "13873",
            "x-codex-secondary-used-percent": "80",
            "x-codex-secondary-reset-after-seconds": "316705",
        },
        retry_after_s=13_873.0,
        code="usage_limit_reached",
    ),
    Documented(
        "Claude plan: five hours used up, the week not",
        "anthropic",
        429,
        anthropic("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
        Reason.RATE_LIMIT,
        "GitHub lidge-jun/opencodex#3809",
        headers=unified(_5h=7_200),
        retry_after_s=7_200.0,
        code="rate_limit_error",
    ),
    Documented(
        "Gemini Code Assist: resets in hours",
        "gemini",
        429,
        code_assist("Individual quota reached. Resets in 9h22m20s.", "33740.910400305s", "2026-11-22T21:22:20Z"),
        Reason.RATE_LIMIT,
        "GitHub google-gemini/gemini-cli#29425",
        headers=DATE,
        retry_after_s=33_740.910400305,
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "Gemini Code Assist: resets in seconds, told in words",
        "gemini",
        429,
        google(429, "RESOURCE_EXHAUSTED", "You have exhausted your capacity on this model. Your quota will reset after 49s."),
        Reason.RATE_LIMIT,
        "GitHub NousResearch/hermes-agent#38804",
        retry_after_s=49.0,
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "Gemini Code Assist: no credits",
        "gemini",
        429,
        google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted.", google_reason("INSUFFICIENT_G1_CREDITS_BALANCE")),
        Reason.QUOTA_EXHAUSTED,
        "GitHub su-kaka/gcli2api#416",
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "GitHub Copilot: days",
        "openai",
        429,
        openai(
            "Sorry, you've hit a rate limit that restricts the number of Copilot model requests you can make within a specific "
            "time period. Please try again in 58 hours.",
            "rate_limit",
        ),
        Reason.RATE_LIMIT,
        "GitHub github/copilot-cli#2696",
        retry_after_s=208_800.0,
        code="rate_limit",
    ),
    Documented(
        "GitHub Models: requests of the day",
        "openai",
        429,
        openai(
            "Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 24367 seconds before retrying.",
            None,
            "RateLimitReached",
        ),
        Reason.RATE_LIMIT,
        "No documentation of the body was found; reported with these headers in GitHub's community",
        headers={"x-ratelimit-type": "UserByModelByDay", "x-ratelimit-timeremaining": "24367"},
        retry_after_s=24_367.0,
        code="RateLimitReached",
    ),
    Documented(
        "a free gateway: with the hour at which it resets",
        "openai",
        402,
        openai(
            "Free quota used (30 requests / 5h). Resets at 15:30 UTC. Top up for unlimited access.",
            "insufficient_quota",
            "free_quota_exceeded",
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub Gitlawb/openclaude#1554",
        headers=DATE,
        retry_after_s=12_600.0,
        code="free_quota_exceeded",
        action=advice.QUOTA_ENDS,
    ),
    Documented(
        "Azure API Management: quota, as a 403",
        "openai",
        403,
        json.dumps({"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 5.03:23:11."}),
        Reason.RATE_LIMIT,
        "Azure docs, API Management: quota policy; the words from a question about it",
        retry_after_s=444_191.0,
    ),
    Documented(
        "New API: no quota left, as a 403",
        "openai",
        403,
        openai("用户额度不足, 剩余额度: ＄0.000000", "new_api_error", "insufficient_user_quota"),
        Reason.QUOTA_EXHAUSTED,
        "AiHubMix docs, HTTP codes; the words are ours",
        code="insufficient_user_quota",
    ),
    Documented(
        "a proxy before OpenAI: no money, as a 401",
        "openai",
        401,
        openai(
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            "insufficient_quota",
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub NousResearch/hermes-agent#74879",
        code="insufficient_quota",
    ),
    Documented(
        "Hugging Face: the field of the IETF draft",
        "openai",
        429,
        json.dumps({"error": "Too Many Requests"}),
        Reason.RATE_LIMIT,
        f"Hugging Face docs, Hub rate limits; {IETF}-10",
        headers={"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'},
        retry_after_s=55.0,
    ),
    Documented(
        "the fields of the IETF draft before revision 7",
        "openai",
        429,
        json.dumps({"error": "Too Many Requests"}),
        Reason.RATE_LIMIT,
        f"{IETF}-06",
        headers={"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "0", "RateLimit-Reset": "50"},
        retry_after_s=50.0,
    ),
    Documented(
        "Cerebras: requests of the day are left, tokens of the minute not",
        "cerebras",
        429,
        json.dumps({"message": "Tokens per minute limit exceeded - too many tokens processed.", "code": "token_quota_exceeded"}),
        Reason.RATE_LIMIT,
        "Cerebras docs, rate limits",
        headers={
            "x-ratelimit-remaining-requests-day": "14399",
            "x-ratelimit-reset-requests-day": "33011.382",
            "x-ratelimit-remaining-tokens-minute": "0",
            "x-ratelimit-reset-tokens-minute": "11.382",
        },
        retry_after_s=11.382,
        code="token_quota_exceeded",
    ),
    Documented(
        "DigitalOcean: tokens of the minute, as a Unix time",
        "openai",
        429,
        json.dumps({"error": "Too Many Requests"}),
        Reason.RATE_LIMIT,
        "DigitalOcean docs, inference: quota-specific response headers",
        headers={
            **DATE,
            "x-ratelimit-remaining-tokens-per-day": "500000",
            "x-ratelimit-reset-tokens-per-day": str(NOON + 43_200),
            "x-ratelimit-remaining-tokens-per-minute": "0",
            "x-ratelimit-reset-tokens-per-minute": str(NOON + 42),
        },
        retry_after_s=42.0,
    ),
    Documented(
        "xAI: no credits, no subscription",
        "xai",
        403,
        json.dumps(
            {"code": "x", "error": "You have run out of credits or need a Grok subscription. Add credits at https://grok.com/."}
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub Wei-Shaw/sub2api#4069",
        code="x",
    ),
    Documented(
        "Akamai before a provider: an instant",
        "openai",
        429,
        "Your request did not succeed as this operation has reached the limit for your account. Please try after "
        "2026-11-22T12:03:57.000Z.",
        Reason.RATE_LIMIT,
        "Akamai docs, 429",
        headers=DATE,
        retry_after_s=237.0,
    ),
    Documented(
        "a gateway that says only no",
        "openai",
        403,
        "<html><head><title>403 Forbidden</title></head><body>Sorry, you have been blocked</body></html>",
        Reason.UNKNOWN,
        "Cloudflare, its own error page",
        says="HTTP 403: ",
        action=advice.NOT_UNDERSTOOD,
    ),
)
PLANS = [replace(row, read_on="2026-12-01") for row in _ROWS]
