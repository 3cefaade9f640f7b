"""Plays cases with Anthropic's SDK, blocking, with headers and async, and prints what came back as JSON.

Usage: play_anthropic.py, with ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY as the SDK itself reads them.
"""

import asyncio
import json
import sys

import anthropic
from pydantic import BaseModel

OPTIONS = {"max_retries": 0, "timeout": 60.0}
HAIKU = {"model": "claude-haiku-4-5", "max_tokens": 60}
HELLO = {**HAIKU, "messages": [{"role": "user", "content": "Name three rivers: é, 漢字, 🌊."}]}
WEATHER = {
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OSLO = {**HAIKU, "tools": [WEATHER], "messages": [{"role": "user", "content": "Ask get_weather of Oslo."}]}
FORCED = {**HAIKU, "tools": [WEATHER], "tool_choice": {"type": "any"}, "messages": HELLO["messages"]}
AFTER = {
    **HAIKU,
    "tools": [WEATHER],
    "messages": [
        *OSLO["messages"],
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sleet"}]},
    ],
}
PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
]
LONG = {"type": "text", "text": "A long preface. " * 2000, "cache_control": {"type": "ephemeral"}}
UNKNOWN = {**HELLO, "model": "claude-no-such-model"}

# Name, what is expected, and what is sent.
CASES = [
    ("message", ["text", "usage"], HELLO),
    ("message with a system", ["text", "usage"], {**HELLO, "system": [{"type": "text", "text": "Be terse."}], "metadata": {"user_id": "ada"}}),
    ("message with an image", ["text"], {**HAIKU, "messages": [{"role": "user", "content": PARTS}]}),
    ("message with a tool", ["tool call", "usage"], OSLO),
    ("message that has to call", ["tool call"], FORCED),
    ("message after a tool", ["text"], AFTER),
    ("message with thoughts", ["thought"], {**HELLO, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ("message to be cached", ["text"], {**HELLO, "system": [LONG]}),
    ("message from the cache", ["text", "cached"], {**HELLO, "system": [LONG]}),
    ("events", ["text", "usage"], {**HELLO, "stream": True}),
    ("events of a tool", ["tool call"], {**OSLO, "stream": True}),
    ("events with thoughts", ["thought"], {**HELLO, "max_tokens": 2000, "stream": True, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ("unknown model", ["error 404"], UNKNOWN),
    ("unknown model, streamed", ["error 404"], {**UNKNOWN, "stream": True}),
    ("no messages", ["error 400"], {**HAIKU, "messages": []}),
]


class Parcel(BaseModel):
    """Where a parcel is."""

    city: str
    days_late: int
    damaged: bool


def main():
    client = anthropic.Anthropic(**OPTIONS)
    stranger = anthropic.Anthropic(**OPTIONS, api_key="sk-ant-nobody-has-this-key")
    transcript = [play(f"sync {name}", expects, lambda: heard(client.messages.create(**body))) for name, expects, body in CASES]
    for name, expects, body in CASES:
        transcript.append(play(f"raw {name}", expects, lambda: heard_raw(client.messages.with_raw_response.create(**body))))
    transcript += [
        play("sync stream helper", ["text", "usage"], lambda: helped(client)),
        play("sync message with a schema", ["parcel"], lambda: plain(client.messages.parse(**HELLO, output_format=Parcel).parsed_output)),
        play("sync count", ["count"], lambda: plain(client.messages.count_tokens(model=HAIKU["model"], messages=HELLO["messages"], tools=[WEATHER]))),
        play("sync models", ["items"], lambda: {"data": [plain(model) for model in client.models.list()]}),
        play("sync model", [], lambda: plain(client.models.retrieve(HAIKU["model"]))),
        play("sync wrong key", ["error 401"], lambda: heard(stranger.messages.create(**HELLO))),
    ]
    transcript.extend(asyncio.run(play_async()))
    json.dump(transcript, sys.stdout)


def play(name, expects, ask):
    try:
        said = ask()
    except anthropic.APIStatusError as error:
        said = {"said": refusal(error), "headers": dict(error.response.headers)}
    said = said if isinstance(said, dict) and "headers" in said else {"said": said}
    return {"case": f"anthropic {name}", "expects": expects, **said}


def heard(answer):
    return [plain(event) for event in answer] if isinstance(answer, anthropic.Stream) else plain(answer)


def heard_raw(raw):
    return {"said": heard(raw.parse()), "headers": dict(raw.headers)}


def helped(client):
    with client.messages.stream(**HELLO) as stream:
        events = [plain(event) for event in stream]
        return {"events": events, "message": plain(stream.get_final_message())}


async def play_async():
    # At once, as the async client is used; whoever comes first fills the cache.
    client = anthropic.AsyncAnthropic(**OPTIONS)
    cases = [case for case in CASES if "cache" not in case[0]]
    return await asyncio.gather(*(play_one_async(client, *case) for case in cases))


async def play_one_async(client, name, expects, body):
    try:
        answer = await client.messages.create(**body)
        said = [plain(event) async for event in answer] if body.get("stream") else plain(answer)
    except anthropic.APIStatusError as error:
        said = refusal(error)
    return {"case": f"anthropic async {name}", "expects": expects, "said": said}


def plain(answer):
    plain = answer.model_dump(mode="json", warnings=False)
    if getattr(answer, "_request_id", None):
        plain["request_id"] = answer._request_id
    return plain


def refusal(error):
    # The SDK's own message has the whole body in it, with the id of the request.
    message = error.body["error"]["message"]
    return {"error": type(error).__name__, "status": error.status_code, "message": message, "body": error.body}


main()
