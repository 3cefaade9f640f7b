"""Plays every case with openai-python, blocking, async and with its headers, and prints what came back as JSON.

Usage: play.py CASES, with OPENAI_BASE_URL and OPENAI_API_KEY as the SDK itself reads them.
"""

import asyncio
import functools
import hashlib
import itertools
import json
import sys
import time

import openai

OPTIONS = {"max_retries": 0, "timeout": 60.0}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    transcript = [play("sync", case, answered) for case in cases]
    transcript.extend(play("raw", case, answered_with_headers) for case in cases)
    transcript.append({"case": "sync files", "expects": [], "said": files()})
    transcript.append({"case": "sync batch", "expects": ["text", "usage"], "said": batch()})
    transcript.extend(asyncio.run(play_async(cases)))
    json.dump(transcript, sys.stdout)


def play(manner, case, answer):
    try:
        said = answer(client_of(openai.OpenAI, case.get("key")), case)
    except openai.APIError as error:
        said = {"said": refusal(error)}
        if manner == "raw":
            said["headers"] = dict(error.response.headers)
    return {"case": f"{manner} {case['name']}", "expects": case["expects"], **said}


def answered(client, case):
    answer = call(client, case)
    return {"said": heard(answer, case)}


def answered_with_headers(client, case):
    raw = call(client, case, "with_raw_response")
    answer = raw.parse()
    return {"said": heard(answer, case), "headers": dict(raw.headers)}


def heard(answer, case):
    if not streams(case):
        return plain(answer)
    parts = [plain(part) for part in itertools.islice(answer, case.get("cancel_after"))]
    answer.close()
    return parts


async def play_async(cases):
    # At once, as the async client is used.
    return await asyncio.gather(*(play_one_async(case) for case in cases))


async def play_one_async(case):
    client = client_of(openai.AsyncOpenAI, case.get("key"))
    try:
        answer = await call(client, case)
        said = await heard_async(answer, case)
    except openai.APIError as error:
        said = refusal(error)
    return {"case": f"async {case['name']}", "expects": case["expects"], "said": said}


async def heard_async(answer, case):
    if not streams(case):
        return plain(answer)
    parts = []
    async for part in answer:
        parts.append(plain(part))
        if len(parts) == case.get("cancel_after"):
            break
    await answer.close()
    return parts


def files():
    client = client_of(openai.OpenAI)
    line = '{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n'
    made = client.files.create(file=("requests.jsonl", line.encode()), purpose="batch")
    found = client.files.retrieve(made.id)
    listed = [file.filename for file in client.files.list() if file.id == made.id]
    content = client.files.content(made.id).text
    deleted = client.files.delete(made.id)
    return [plain(made), plain(found), listed, content == line, plain(deleted)]


def batch():
    client = client_of(openai.OpenAI)
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": "One line of many."}]}
    lines = [
        {"custom_id": f"line {n}", "method": "POST", "url": "/v1/chat/completions", "body": {**body, "model": model}}
        for n, model in enumerate(["gpt-4o-mini", "no-such-model", "gpt-4o"])
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    file = client.files.create(file=("lines.jsonl", text.encode()), purpose="batch")
    begun = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"of": "the tests"},
    )
    done = begun
    while done.status in ("validating", "in_progress", "finalizing"):
        time.sleep(0.01)
        done = client.batches.retrieve(begun.id)
    parts = [done.output_file_id, done.error_file_id]
    answers = [json.loads(line) for part in parts for line in client.files.content(part).text.splitlines()]
    listed = [plain(one) for one in client.batches.list(limit=5) if one.id == begun.id]
    return [plain(file), plain(begun), plain(done), answers, listed, plain(client.files.retrieve(parts[0]))]


@functools.cache
def client_of(kind, key=None):
    """Returns the one client of a key, whose connections are used again and again."""
    return kind(**OPTIONS, **({"api_key": key} if key else {}))


def streams(case):
    return case.get("arguments", {}).get("stream", False)


def call(client, case, *wrapper):
    *resource, name = case["call"].split(".")
    method = functools.reduce(getattr, [*resource, *wrapper, name], client)
    arguments = {name: sent(value) for name, value in case.get("arguments", {}).items()}
    return method(*case.get("positional", []), **arguments)


def sent(value):
    """Returns a file where a case asks for one: its name, and how many bytes it has."""
    if isinstance(value, dict) and "file" in value:
        return value["file"], bytes(n * 7 % 251 for n in range(value["bytes"]))
    return value


def plain(answer):
    if isinstance(answer, str):
        return {"text": answer}
    if hasattr(answer, "content") and answer.content.startswith((b"data: ", b": ")):
        # Comments, which keep it alive, are no part of what an event stream says.
        lines = answer.content.decode().split("\n")
        return {"events": [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]}
    if hasattr(answer, "content"):
        return {"bytes": len(answer.content), "sha256": hashlib.sha256(answer.content).hexdigest()}
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
