"""What Azure OpenAI answers when it does not answer."""

from __future__ import annotations

import json

from tests.workers.retry.answers.documented import Documented, of, openai
from tidings.bus.messages import Reason
from tidings.workers.retry import advice

QUOTA = "Azure docs, Azure OpenAI quota and rate limits"


def azure(message: str, code: str) -> str:
    """Write an error as Azure's gateway does."""
    return json.dumps({"error": {"code": code, "message": message}})


FILTERED = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify "
    "your prompt and retry.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"jailbreak": {"filtered": True, "detected": True}},
    },
}

AZURE = of(
    "Azure OpenAI",
    Documented(
        "calls per minute; milliseconds and seconds",
        "azure",
        429,
        azure(
            "Requests to the ChatCompletions_Create Operation have exceeded call rate limit of your current OpenAI S0 pricing "
            "tier. Please retry after 2 seconds.",
            "429",
        ),
        Reason.RATE_LIMIT,
        QUOTA,
        {"retry-after-ms": "1500", "retry-after": "2"},
        retry_after_s=1.5,
    ),
    Documented(
        "tokens per minute, seconds only in words",
        "azure",
        429,
        azure(
            "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-01-preview have exceeded "
            "token rate limit of your current AIServices S0 pricing tier. Please retry after 37 seconds. Please contact Azure "
            "support service if you would like to further increase the default rate limit.",
            "429",
        ),
        Reason.RATE_LIMIT,
        "Microsoft Q&A 2140040",
        retry_after_s=37.0,
    ),
    Documented(
        "a request larger than the limit, told to wait a day",
        "azure",
        429,
        azure(
            "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-08-01-preview have exceeded "
            "token rate limit of your current OpenAI S0 pricing tier. Please retry after 86400 seconds. Please go here: "
            "https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.",
            "429",
        ),
        Reason.RATE_LIMIT,
        "GitHub vanderschaarlab/climb#1",
        retry_after_s=86_400.0,
        action=advice.A_WHOLE_DAY,
    ),
    Documented(
        "no capacity in the shared pool",
        "azure",
        429,
        azure("The service is temporarily unable to process your request. System is experiencing high demand.", "429"),
        Reason.OVERLOADED,
        QUOTA,
        {"retry-after-ms": "4000"},
        retry_after_s=4.0,
    ),
    Documented(
        "content filter",
        "azure",
        400,
        json.dumps({"error": FILTERED}),
        Reason.CONTENT_POLICY,
        "GitHub microsoft/TinyTroupe#85",
        code="content_filter",
    ),
    Documented(
        "no such deployment",
        "azure",
        404,
        azure(
            "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
            "please wait a moment and try again.",
            "DeploymentNotFound",
        ),
        Reason.BAD_REQUEST,
        "Azure docs, Azure OpenAI error codes",
        code="DeploymentNotFound",
        action=advice.NO_SUCH_MODEL,
    ),
    Documented(
        "wrong subscription key",
        "azure",
        401,
        azure(
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
            "active subscription and use a correct regional API endpoint for your resource.",
            "401",
        ),
        Reason.AUTH,
        "GitHub SciSharp/BotSharp#386",
        says="Access denied due to invalid subscription key",
    ),
    Documented(
        "behind a firewall",
        "azure",
        403,
        azure("Access denied due to Virtual Network/Firewall rules.", "403"),
        Reason.AUTH,
        "Azure docs, Azure OpenAI error codes",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "time-out",
        "azure",
        408,
        azure("The operation was timeout.", "Timeout"),
        Reason.TIMEOUT,
        "GitHub langgenius/dify-official-plugins#2199",
        code="Timeout",
    ),
    Documented(
        "server error",
        "azure",
        500,
        openai("The server had an error while processing your request. Sorry about that!", "server_error"),
        Reason.SERVER_ERROR,
        "GitHub microsoft/semantic-kernel#3700",
        code="server_error",
    ),
)
