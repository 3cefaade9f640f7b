"""Plays every case with openai-python, blocking and async, and prints what came back as JSON.

Usage: play.py CASES, with OPENAI_BASE_URL and OPENAI_API_KEY as the SDK itself reads them.
"""

import asyncio
import functools
import json
import sys

import openai

OPTIONS = {"max_retries": 0, "timeout": 60.0}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    transcript = [play(case) for case in cases]
    transcript.append(files())
    transcript.extend(asyncio.run(play_async(cases)))
    json.dump(transcript, sys.stdout)


def play(case):
    client = openai.OpenAI(**options(case))
    try:
        answer = call(client, case)
        said = [plain(part) for part in answer] if streams(case) else plain(answer)
    except openai.APIError as error:
        said = refusal(error)
    return {"case": f"sync {case['name']}", "said": said}


async def play_async(cases):
    # At once, as the async client is used.
    return await asyncio.gather(*(play_one_async(case) for case in cases))


async def play_one_async(case):
    client = openai.AsyncOpenAI(**options(case))
    try:
        answer = await call(client, case)
        said = [plain(part) async for part in answer] if streams(case) else plain(answer)
    except openai.APIError as error:
        said = refusal(error)
    return {"case": f"async {case['name']}", "said": said}


def files():
    client = openai.OpenAI(**OPTIONS)
    line = '{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n'
    made = client.files.create(file=("requests.jsonl", line.encode()), purpose="batch")
    found = client.files.retrieve(made.id)
    listed = [file.filename for file in client.files.list() if file.id == made.id]
    content = client.files.content(made.id).text
    deleted = client.files.delete(made.id)
    said = [plain(made), plain(found), listed, content == line, plain(deleted)]
    return {"case": "sync files", "said": said}


def options(case):
    return {**OPTIONS, "api_key": case["key"]} if "key" in case else OPTIONS


def streams(case):
    return case.get("arguments", {}).get("stream", False)


def call(client, case):
    method = functools.reduce(getattr, case["call"].split("."), client)
    answer = method(*case.get("positional", []), **case.get("arguments", {}))
    return answer


def plain(answer):
    plain = answer.model_dump(mode="json")
    if getattr(answer, "_request_id", None):
        plain["request_id"] = answer._request_id
    return plain


def refusal(error):
    status = getattr(error, "status_code", None)
    return {
        "error": type(error).__name__,
        "status": status,
        "code": error.code,
        "param": error.param,
        "type": error.type,
        "message": error.message,
    }


main()
