"""All answers that providers document, in the order of the docs."""

from __future__ import annotations

from tests.workers.retry.answers.anthropic_answers import ANTHROPIC
from tests.workers.retry.answers.asian_answers import ASIAN
from tests.workers.retry.answers.azure_answers import AZURE
from tests.workers.retry.answers.bedrock_answers import BEDROCK
from tests.workers.retry.answers.documented import Documented
from tests.workers.retry.answers.google_answers import GEMINI, VERTEX
from tests.workers.retry.answers.groq_answers import GROQ
from tests.workers.retry.answers.mistral_answers import MISTRAL
from tests.workers.retry.answers.openai_answers import OPENAI
from tests.workers.retry.answers.openrouter_answers import OPENROUTER
from tests.workers.retry.answers.plan_answers import PLANS
from tests.workers.retry.answers.server_answers import OTHERS, VLLM

DOCUMENTED: list[Documented] = [
    *OPENAI,
    *AZURE,
    *ANTHROPIC,
    *GEMINI,
    *VERTEX,
    *MISTRAL,
    *GROQ,
    *BEDROCK,
    *OPENROUTER,
    *ASIAN,
    *PLANS,
    *VLLM,
    *OTHERS,
]


def answer_id(answer: Documented) -> str:
    """Name a row for pytest."""
    return f"{answer.provider}: {answer.name}"
