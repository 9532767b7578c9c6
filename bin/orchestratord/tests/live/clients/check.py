"""Speaks with the server as a program that was written for OpenAI's API does.

Usage: check.py BASE_URL MODEL [WISHES]. WISHES is a JSON object of further members for calls that need a real
model's help. Prints one line per check, and ends with 1 at the first thing that is not as it should be.
"""

import json
import sys
import uuid

import openai
from pydantic import BaseModel

base, model = sys.argv[1], sys.argv[2]
wishes = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
QUESTION = [{"role": "user", "content": "Name three primary colours."}]
STEADY = {"temperature": 0, "seed": 7}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
        },
    },
}


class Colour(BaseModel):
    name: str
    warm: bool


def models():
    listed = [it.id for it in client.models.list()]
    assert model in listed, listed
    assert client.models.retrieve(model).id == model
    return f"{listed}"


def whole_and_streamed_are_the_same():
    whole = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=16, **STEADY)
    text, usage = whole.choices[0].message.content, whole.usage
    assert text and usage.completion_tokens > 0 and usage.total_tokens > usage.completion_tokens
    chunks = list(
        client.chat.completions.create(
            model=model, messages=QUESTION, max_tokens=16, stream=True, stream_options={"include_usage": True}, **STEADY
        )
    )
    said = "".join(it.choices[0].delta.content or "" for it in chunks if it.choices)
    assert said == text, (said, text)
    assert chunks[-1].usage.completion_tokens == usage.completion_tokens
    assert [it.choices[0].finish_reason for it in chunks if it.choices][-1] == whole.choices[0].finish_reason
    return repr(text)


def texts_go_on():
    whole = client.completions.create(model=model, prompt="Once upon a time", max_tokens=8, **STEADY)
    parts = client.completions.create(model=model, prompt="Once upon a time", max_tokens=8, stream=True, **STEADY)
    said = "".join(it.choices[0].text for it in parts if it.choices)
    assert said == whole.choices[0].text and said
    return repr(said)


def texts_become_vectors():
    if not wishes.get("embeddings", True):
        return "not served by this engine"
    texts = ["the old river", "a bright door"]
    # The client asks for base 64 by itself.
    answer = client.embeddings.create(model=model, input=texts)
    assert [it.index for it in answer.data] == [0, 1]
    plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
    for one, other in zip(answer.data, plain.data):
        assert all(abs(x - y) < 1e-4 for x, y in zip(one.embedding, other.embedding, strict=True))
    sizes = {len(it.embedding) for it in answer.data}
    assert len(sizes) == 1 and answer.usage.prompt_tokens > 0
    return f"2 vectors of {sizes.pop()} numbers"


def tools_are_called():
    call = {"model": model, "messages": QUESTION, "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    call |= {"max_tokens": 64} | STEADY
    whole = client.chat.completions.create(**call)
    choice = whole.choices[0]
    assert choice.finish_reason == "tool_calls", choice
    called = choice.message.tool_calls[0].function
    assert called.name == "get_weather" and isinstance(json.loads(called.arguments)["city"], str)
    arguments, names = "", set()
    for chunk in client.chat.completions.create(**call, stream=True):
        for part in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            arguments += part.function.arguments or ""
            names |= {part.function.name} - {None}
    assert (names, arguments) == ({"get_weather"}, called.arguments)
    return called.arguments


def answers_have_the_shape_that_is_asked_for():
    answer = client.chat.completions.parse(
        model=model, messages=QUESTION, response_format=Colour, max_tokens=64, **STEADY
    )
    colour = answer.choices[0].message.parsed
    assert isinstance(colour, Colour), answer
    return repr(colour)


def errors_are_the_clients_own():
    def refused(kind, **call):
        try:
            client.chat.completions.create(**({"model": model, "messages": QUESTION, "max_tokens": 2} | call))
        except kind as error:
            return error
        raise AssertionError(f"{call} was not refused")

    assert refused(openai.NotFoundError, model="gpt-9").code == "model_not_found"
    assert refused(openai.BadRequestError, temperature=9).param == "temperature"
    assert refused(openai.BadRequestError, messages=[]).param == "messages"
    return "404, 400, 400"


def requests_have_names_priorities_and_sessions():
    headers = {"X-Priority": "batch", "X-Session-Id": str(uuid.uuid4())}
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=QUESTION, max_tokens=2, extra_headers=headers
    )
    assert raw.headers["x-request-id"] == raw.parse()._request_id
    uuid.UUID(raw.headers["x-request-id"])
    return raw.headers["x-request-id"]


def a_client_that_leaves_says_so():
    stream = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=4000, stream=True)
    job = stream.response.headers["x-request-id"]
    next(iter(stream))
    stream.close()
    return job


CHECKS = [
    models,
    whole_and_streamed_are_the_same,
    texts_go_on,
    texts_become_vectors,
    tools_are_called,
    answers_have_the_shape_that_is_asked_for,
    errors_are_the_clients_own,
    requests_have_names_priorities_and_sessions,
    a_client_that_leaves_says_so,
]
for check in CHECKS:
    print(f"{check.__name__}: {check()}", flush=True)
