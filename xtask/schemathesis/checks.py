"""What the contract says of every answer, beyond what a schema can say."""

import json
import re

import schemathesis

# Section 6 of the contract: a 503 is an answer, not an accident, when it carries one of these.
UNAVAILABLE = {
    "POOL_UNREADY",
    "POOL_UNAVAILABLE",
    "MODEL_NOT_AVAILABLE",
    "NODE_UNAVAILABLE",
    "REPLICA_EXHAUSTED",
    "STORAGE_UNAVAILABLE",
}
# What OpenAI's API calls the same things.
OPENAI = re.compile(r"^/v1/")
CORRELATION = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


@schemathesis.hook
def map_body(context, body):
    """Writes whole numbers without a fraction, as every JSON library does."""
    return whole(body)


def whole(value):
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


def envelope(case, response):
    """The error in an answer, or nothing when it has another shape."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    error = body.get("error") if OPENAI.match(case.path) and "code" not in body else body
    if not isinstance(error, dict):
        return None
    return error if isinstance(error.get("code"), str) and isinstance(error.get("message"), str) else None


@schemathesis.check
def server_errors_are_of_the_contract(ctx, response, case):
    if response.status_code < 500:
        return
    if case.path == "/ready" and response.status_code == 503:
        return
    error = envelope(case, response)
    assert response.status_code == 503 and error is not None, f"{response.status_code} is no answer"
    assert error["code"].upper() in UNAVAILABLE, f"{error['code']} is no reason for a 503"


@schemathesis.check
def refusals_have_the_one_envelope(ctx, response, case):
    # HEAD has no body by its nature, and a broken request line never reaches the server's own code.
    if response.status_code < 400 or case.method == "HEAD" or case.path == "/ready":
        return
    if response.status_code == 410:
        return
    assert envelope(case, response) is not None, f"{response.status_code} without code and message"


@schemathesis.check
def backpressure_tells_when_to_come_again(ctx, response, case):
    if response.status_code != 429:
        return
    error = envelope(case, response)
    assert error is not None, "429 without an envelope"
    if error.get("retriable") is False:
        return
    after = (response.headers.get("retry-after") or [""])[0]
    assert after.isdigit() and int(after) >= 1, f"Retry-After is {after!r}"


@schemathesis.check
def every_answer_has_its_correlation_id(ctx, response, case):
    got = (response.headers.get("x-correlation-id") or [""])[0]
    assert CORRELATION.match(got), f"X-Correlation-Id is {got!r}"
    sent = (case.headers or {}).get("X-Correlation-Id")
    if isinstance(sent, str) and CORRELATION.match(sent):
        assert got == sent, f"X-Correlation-Id is {got!r}, and was sent as {sent!r}"
