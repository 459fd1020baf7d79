"""What calls to a model cost: requests and tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one answer used, as the provider reported it; None where it reported nothing."""

    prompt: int | None = None
    completion: int | None = None

    @property
    def total(self) -> int:
        """Both together; what was not reported counts 0."""
        return (self.prompt or 0) + (self.completion or 0)


@dataclass(slots=True)
class Usage:
    """Running totals of one path; what is in flight or was cancelled is in ``attempts`` alone.

    Attributes:
        attempts: requests sent.
        succeeded: those that brought an answer.
        failed: those that failed.
        prompt_tokens: of the answers.
        completion_tokens: of the answers.
        wasted_tokens: prompt and answer together of attempts that failed or were cancelled, as far as the
            provider reported them before it broke off; most report nothing, so the true figure is higher.
    """

    attempts: int = 0
    succeeded: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    wasted_tokens: int = 0

    def spend(self, tokens: Tokens) -> None:
        """Count an answer."""
        self.succeeded += 1
        self.prompt_tokens += tokens.prompt or 0
        self.completion_tokens += tokens.completion or 0

    def waste(self, tokens: Tokens) -> None:
        """Count what was reported of an attempt that gave no answer."""
        self.wasted_tokens += tokens.total
