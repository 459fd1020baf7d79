"""What Bedrock answers when it does not answer."""

from __future__ import annotations

import json

from bus.messages import Reason
from tests.workers.retry.answers.documented import Documented, aws_error, bedrock, of
from workers.retry import advice

API = "AWS docs, Bedrock runtime API: Converse errors"
CODES = "AWS docs, Bedrock: troubleshooting API error codes"

BEDROCK = of(
    "Bedrock",
    Documented(
        "tokens per minute",
        "bedrock",
        429,
        bedrock("Too many tokens, please wait before trying again."),
        Reason.RATE_LIMIT,
        "GitHub aws-samples/amazon-bedrock-client-for-mac#99",
        aws_error("ThrottlingException"),
        code="ThrottlingException",
    ),
    Documented(
        "tokens per day",
        "bedrock",
        429,
        bedrock("Too many tokens per day, please wait before trying again."),
        Reason.QUOTA_EXHAUSTED,
        "GitHub minorun365/agent-book#29",
        aws_error("ThrottlingException"),
        code="ThrottlingException",
        action=advice.DAY_USED_UP,
    ),
    Documented(
        "model not ready",
        "bedrock",
        429,
        bedrock("Model is not ready for inference. Please wait and try again."),
        Reason.OVERLOADED,
        API,
        aws_error("ModelNotReadyException"),
        code="ModelNotReadyException",
    ),
    Documented(
        "too many connections",
        "bedrock",
        503,
        json.dumps(
            {
                "exceptionMetadata": {"qosTier": "10", "rudiMetadata": "{}"},
                "message": "Too many connections, please wait before trying again.",
            }
        ),
        Reason.OVERLOADED,
        "GitHub onyx-dot-app/onyx#6368",
        aws_error("ServiceUnavailableException"),
        code="ServiceUnavailableException",
        says="Too many connections",
    ),
    Documented(
        "the model broke",
        "bedrock",
        424,
        bedrock("The request failed due to an error while processing the model."),
        Reason.SERVER_ERROR,
        API,
        aws_error("ModelErrorException"),
        code="ModelErrorException",
    ),
    Documented(
        "the model took too long",
        "bedrock",
        408,
        bedrock("Model has timed out in processing the request. Try your request again."),
        Reason.TIMEOUT,
        API,
        aws_error("ModelTimeoutException"),
        code="ModelTimeoutException",
    ),
    Documented(
        "internal error",
        "bedrock",
        500,
        bedrock("The system encountered an unexpected error during processing. Try your request again."),
        Reason.SERVER_ERROR,
        API,
        aws_error("InternalServerException"),
        code="InternalServerException",
    ),
    Documented(
        "input too long",
        "bedrock",
        400,
        bedrock("Input is too long for requested model."),
        Reason.CONTEXT_WINDOW,
        "GitHub aws-samples/assessment-generator#2",
        aws_error("ValidationException"),
        code="ValidationException",
    ),
    Documented(
        "model only through an inference profile",
        "bedrock",
        400,
        bedrock(
            "Invocation of model ID anthropic.claude-3-5-sonnet-20241022-v2:0 with on-demand throughput isn’t supported. Retry "
            "your request with the ID or ARN of an inference profile that contains this model."
        ),
        Reason.BAD_REQUEST,
        "GitHub terricain/aioboto3#352",
        aws_error("ValidationException"),
        code="ValidationException",
    ),
    Documented(
        "account not cleared",
        "bedrock",
        400,
        bedrock("Operation not allowed"),
        Reason.AUTH,
        "GitHub aws/aws-cli#8717",
        aws_error("ValidationException"),
        code="ValidationException",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "no access to the model",
        "bedrock",
        403,
        bedrock("You don't have access to the model with the specified model ID."),
        Reason.AUTH,
        "GitHub langgenius/dify#2829",
        aws_error("AccessDeniedException"),
        code="AccessDeniedException",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "no means of payment",
        "bedrock",
        403,
        bedrock("Model access is denied due to INVALID_PAYMENT_INSTRUMENT: a valid payment instrument must be provided."),
        Reason.QUOTA_EXHAUSTED,
        "GitHub Tracer-Cloud/opensre#1812",
        aws_error("AccessDeniedException"),
        code="AccessDeniedException",
    ),
    Documented(
        "invalid token",
        "bedrock",
        403,
        bedrock("The security token included in the request is invalid."),
        Reason.AUTH,
        "GitHub anthropics/claude-code#2260",
        aws_error("UnrecognizedClientException"),
        code="UnrecognizedClientException",
    ),
    Documented(
        "no such model",
        "bedrock",
        404,
        bedrock("Model not found."),
        Reason.BAD_REQUEST,
        "GitHub mlcommons/modelbench#1654",
        aws_error("ResourceNotFoundException"),
        code="ResourceNotFoundException",
        action=advice.NO_SUCH_MODEL,
    ),
    Documented(
        "use case not told",
        "bedrock",
        404,
        bedrock("Model use case details have not been submitted for this account. Fill out the Anthropic use case details form."),
        Reason.BAD_REQUEST,
        CODES,
        aws_error("ResourceNotFoundException"),
        code="ResourceNotFoundException",
        action=advice.NOT_ALLOWED,
    ),
)
