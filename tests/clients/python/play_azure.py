"""Plays cases with openai-python's client of Azure, on both shapes of its paths, and prints what came back as JSON.

Usage: play_azure.py, with AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY as the SDK itself reads them.
"""

import asyncio
import json
import os
import sys

import openai

OPTIONS = {"max_retries": 0, "timeout": 60.0}
OLDER = {**OPTIONS, "api_version": "2024-10-21"}
NEWER = {**OPTIONS, "base_url": os.environ["AZURE_OPENAI_ENDPOINT"] + "/openai/v1/"}
CHAT = {"model": "gpt-4o-mini", "max_tokens": 30, "messages": [{"role": "user", "content": "Name three rivers: é, 漢字, 🌊."}]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
STREAM = {**CHAT, "stream": True}

# Name, what is expected, which call, and what is sent.
CASES = [
    ("chat", ["text", "usage"], "chat.completions", CHAT),
    ("chat with a tool", ["tool call"], "chat.completions", {**CHAT, "tools": [WEATHER], "tool_choice": "required"}),
    ("chat stream", ["text"], "chat.completions", STREAM),
    ("chat stream with usage", ["text", "usage"], "chat.completions", {**STREAM, "stream_options": {"include_usage": True}}),
    ("embedding", ["embedding", "usage"], "embeddings", {"model": "text-embedding-3-small", "input": ["one", "two sentences"]}),
    ("unknown deployment", ["error 404"], "chat.completions", {**CHAT, "model": "no-such-model"}),
    ("no messages", ["error 400"], "chat.completions", {**CHAT, "messages": []}),
]


def main():
    key = os.environ["AZURE_OPENAI_API_KEY"]
    kinds = {
        "older paths": (openai.AzureOpenAI(**OLDER), openai.AsyncAzureOpenAI(**OLDER)),
        "newer paths": (openai.OpenAI(**NEWER, api_key=key), openai.AsyncOpenAI(**NEWER, api_key=key)),
    }
    transcript = []
    for kind, (client, async_client) in kinds.items():
        transcript += [play(f"{kind}: {case[0]}", client, *case[1:]) for case in CASES]
        transcript += asyncio.run(play_async(kind, async_client))
    stranger = openai.AzureOpenAI(**OLDER, api_key="nobody-has-this-key")
    transcript.append(play("wrong key", stranger, ["error 401"], "chat.completions", CHAT))
    json.dump(transcript, sys.stdout)


def play(name, client, expects, call, body):
    try:
        raw = resource(client, call).with_raw_response.create(**body)
        answer = raw.parse()
        said = [part.model_dump(mode="json") for part in answer] if "stream" in body else answer.model_dump(mode="json")
        headers = dict(raw.headers)
    except openai.APIStatusError as error:
        said, headers = refusal(error), dict(error.response.headers)
    return {"case": f"azure {name}", "expects": expects, "said": said, "headers": headers}


async def play_async(kind, client):
    # At once, as the async client is used.
    return await asyncio.gather(*(play_one_async(kind, client, *case) for case in CASES))


async def play_one_async(kind, client, name, expects, call, body):
    try:
        answer = await resource(client, call).create(**body)
        said = [part.model_dump(mode="json") async for part in answer] if "stream" in body else answer.model_dump(mode="json")
    except openai.APIStatusError as error:
        said = refusal(error)
    return {"case": f"azure async {kind}: {name}", "expects": expects, "said": said}


def resource(client, call):
    return client.chat.completions if call == "chat.completions" else client.embeddings


def refusal(error):
    return {"error": type(error).__name__, "status": error.status_code, "code": error.code, "message": error.message, "body": error.body}


main()
