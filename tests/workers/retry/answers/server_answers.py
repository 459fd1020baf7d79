"""What vLLM and other OpenAI-compatible servers and services answer when they do not answer."""

from __future__ import annotations

import json

from tests.workers.retry.answers.documented import Documented, mistral, of, openai
from tidings.bus.messages import Reason
from tidings.workers.retry import advice

VLLM = of(
    "vLLM",
    Documented(
        "context length",
        "vllm",
        400,
        json.dumps(
            {
                "object": "error",
                "message": "This model's maximum context length is 131072 tokens. However, you requested 156632 tokens (152536 "
                "in the messages, 4096 in the completion). Please reduce the length of the messages or completion.",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            }
        ),
        Reason.CONTEXT_WINDOW,
        "GitHub meta-llama/llama-verifications#58",
        code="BadRequestError",
    ),
    Documented(
        "bad parameter",
        "vllm",
        400,
        json.dumps(
            {
                "object": "error",
                "message": "max_tokens must be at least 1, got -186.",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            }
        ),
        Reason.BAD_REQUEST,
        "GitHub vllm-project/vllm#4667",
        code="BadRequestError",
    ),
    Documented(
        "wrong key",
        "vllm",
        401,
        json.dumps({"error": "Unauthorized"}),
        Reason.AUTH,
        "GitHub vllm-project/vllm, entrypoints/openai/server_utils.py",
        says="Unauthorized",
    ),
    Documented(
        "no such model",
        "vllm",
        404,
        openai("The model `x` does not exist.", "NotFoundError", 404),
        Reason.BAD_REQUEST,
        "vLLM docs, OpenAI-compatible server",
        code="NotFoundError",
        action=advice.NO_SUCH_MODEL,
    ),
    Documented(
        "the engine is dead",
        "vllm",
        500,
        openai("EngineCore encountered an issue. See stack trace (above) for the root cause.", "InternalServerError", 500),
        Reason.SERVER_ERROR,
        "GitHub vllm-project/vllm#42362",
        code="InternalServerError",
    ),
)

OTHERS = of(
    "Other servers and services",
    Documented(
        "DeepSeek: no money left",
        "deepseek",
        402,
        openai("Insufficient Balance", "unknown_error", "invalid_request_error"),
        Reason.QUOTA_EXHAUSTED,
        "GitHub 1Panel-dev/MaxKB#3797",
        code="invalid_request_error",
    ),
    Documented(
        "DeepSeek: overloaded",
        "deepseek",
        503,
        openai("Server overloaded, please try again later.", "server_error"),
        Reason.OVERLOADED,
        "DeepSeek docs, error codes",
        code="server_error",
    ),
    Documented(
        "xAI: no credits",
        "xai",
        403,
        json.dumps(
            {
                "code": "The caller does not have permission to execute the specified operation",
                "error": "Your team x has either used all available credits or reached its monthly spending limit. To continue "
                "making API requests, please purchase more credits or raise your spending limit.",
            }
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub continuedev/continue#10373",
        code="The caller does not have permission to execute the specified operation",
    ),
    Documented(
        "xAI: never had credits",
        "xai",
        403,
        json.dumps({"error": "Your newly created team doesn't have any credits or licenses yet."}),
        Reason.QUOTA_EXHAUSTED,
        "GitHub continuedev/continue#12670",
    ),
    Documented(
        "Cerebras: requests per minute, called a quota",
        "cerebras",
        429,
        json.dumps(
            {
                "message": "Requests per minute limit exceeded - too many requests sent.",
                "type": "too_many_requests_error",
                "param": "quota",
                "code": "request_quota_exceeded",
            }
        ),
        Reason.RATE_LIMIT,
        "GitHub nminaya/grammar-nazi-bot#958",
        code="request_quota_exceeded",
    ),
    Documented(
        "Scaleway: tokens per minute, in the words for no money",
        "openai",
        429,
        openai("You exceeded your current quota of requests/tokens per minute", "rate_limit"),
        Reason.RATE_LIMIT,
        "GitHub scaleway/docs-content#4230",
        code="rate_limit",
    ),
    Documented(
        "Baidu: requests per minute",
        "openai",
        429,
        json.dumps(
            {
                "error": {
                    "code": "rpm_rate_limit_exceeded",
                    "message": "Rate limit reached for RPM",
                    "type": "rate_limit_exceeded",
                },
                "id": "as-1",
            }
        ),
        Reason.RATE_LIMIT,
        "GitHub PaddlePaddle/ERNIE#1031",
        code="rpm_rate_limit_exceeded",
    ),
    Documented(
        "Together: context length, as a 403",
        "together",
        403,
        openai("Input token count + max_tokens parameter must be less than the context length of the model being queried."),
        Reason.CONTEXT_WINDOW,
        "Together docs, error codes",
    ),
    Documented(
        "Fireworks: account suspended",
        "fireworks",
        412,
        openai("Account x is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices."),
        Reason.QUOTA_EXHAUSTED,
        "Fireworks docs, inference error codes",
    ),
    Documented(
        "Cohere: calls of a trial key",
        "cohere",
        429,
        json.dumps({"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),
        Reason.QUOTA_EXHAUSTED,
        "Cohere docs, rate limits",
        action=advice.DAY_USED_UP,
    ),
    Documented(
        "Hugging Face: credits of the month",
        "openai",
        402,
        json.dumps({"error": "You have exceeded your monthly included credits for Inference Providers."}),
        Reason.QUOTA_EXHAUSTED,
        "Hugging Face docs, Inference Providers: pricing",
    ),
    Documented(
        "Hugging Face: loading",
        "openai",
        503,
        json.dumps({"error": "Model x is currently loading", "estimated_time": 20.0}),
        Reason.OVERLOADED,
        "Hugging Face docs, Inference API: errors",
        retry_after_s=20.0,
    ),
    Documented(
        "text-generation-inference: overloaded",
        "openai",
        429,
        json.dumps({"error": "Model is overloaded", "error_type": "overloaded"}),
        Reason.OVERLOADED,
        "GitHub huggingface/text-generation-inference#439",
        code="overloaded",
    ),
    Documented(
        "text-generation-inference: prompt too long",
        "openai",
        422,
        json.dumps(
            {
                "error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000",
                "error_type": "validation",
            }
        ),
        Reason.CONTEXT_WINDOW,
        "GitHub huggingface/text-generation-inference, router/src/validation.rs",
        code="validation",
    ),
    Documented(
        "llama.cpp: prompt too long",
        "openai",
        400,
        json.dumps(
            {
                "error": {
                    "code": 400,
                    "message": "request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 4390,
                    "n_ctx": 4096,
                }
            }
        ),
        Reason.CONTEXT_WINDOW,
        "GitHub ggml-org/llama.cpp#19774",
        code="exceed_context_size_error",
    ),
    Documented(
        "llama.cpp: prompt too long, as a 500",
        "openai",
        500,
        json.dumps({"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}),
        Reason.CONTEXT_WINDOW,
        "GitHub ggml-org/llama.cpp#19774",
        code="server_error",
    ),
    Documented(
        "llama.cpp: loading",
        "openai",
        503,
        json.dumps({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
        Reason.OVERLOADED,
        "GitHub ggml-org/llama.cpp, tools/server/README.md",
        code="unavailable_error",
    ),
    Documented(
        "Ollama: queue full",
        "openai",
        503,
        openai("server busy, please try again.  maximum pending requests exceeded", "api_error"),
        Reason.OVERLOADED,
        "GitHub ollama/ollama, server/sched.go",
        code="api_error",
    ),
    Documented(
        "Ollama: model not pulled",
        "openai",
        404,
        openai('model "qwen3.5:4b" not found, try pulling it first', "not_found_error"),
        Reason.BAD_REQUEST,
        "GitHub ollama/ollama, openai/openai.go",
        code="not_found_error",
        action=advice.NO_SUCH_MODEL,
    ),
    Documented(
        "LiteLLM proxy: its own limits",
        "litellm-proxy",
        429,
        openai(
            "LiteLLM Rate Limit Handler for rate limit type = team. Crossed TPM / RPM / Max Parallel Request Limit. current rpm: "
            "1, rpm limit: 15, current tpm: 12260, tpm limit: 5000",
            "None",
            "429",
        ),
        Reason.RATE_LIMIT,
        "GitHub BerriAI/litellm#13898",
    ),
    Documented(
        "LiteLLM proxy: every deployment cools down",
        "litellm-proxy",
        429,
        openai("No deployments available for selected model, Try again in 60 seconds. Passed model=gpt-4o.", "None", "429"),
        Reason.RATE_LIMIT,
        "LiteLLM docs, routing: cooldowns",
        retry_after_s=60.0,
    ),
    Documented(
        "LiteLLM proxy: budget spent",
        "litellm-proxy",
        400,
        openai("Budget has been exceeded! Current cost: 76.16, Max budget: 10.0", "budget_exceeded", "400"),
        Reason.QUOTA_EXHAUSTED,
        "GitHub BerriAI/litellm#20615",
        code="budget_exceeded",
    ),
    Documented(
        "FastAPI in front: upstream's error in `detail`",
        "openai",
        400,
        json.dumps({"detail": json.loads(mistral("Conversation roles must alternate user and assistant", "400", "400"))}),
        Reason.BAD_REQUEST,
        "GitHub RooCodeInc/Roo-Code#10045",
        says="Conversation roles must alternate user and assistant",
    ),
    Documented(
        "a gateway: bad gateway, in HTML",
        "openai",
        502,
        "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad gateway</h1></body></html>",
        Reason.SERVER_ERROR,
        "nginx, its own error page",
        says="Bad gateway",
    ),
    Documented(
        "a gateway: time-out, with a reset that is none",
        "openai",
        504,
        "<html>Gateway Timeout</html>",
        Reason.TIMEOUT,
        "nginx, its own error page",
        {"x-ratelimit-reset-requests": "50s"},
    ),
    Documented(
        "a gateway: no answer from upstream in 100 s",
        "openai",
        524,
        "<!DOCTYPE html><title>api.example | 524: A timeout occurred</title>",
        Reason.TIMEOUT,
        "Cloudflare docs, error 524",
        says="524: A timeout occurred",
    ),
)
