"""Plays cases with libcurl, the library behind the curl command, and prints what came back as JSON: every header as it was sent.

Usage: play_curl.py, with OPENAI_BASE_URL and OPENAI_API_KEY.
"""

import io
import json
import os
import sys

import pycurl

BASE, KEY = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
CHAT = {"model": "gpt-4o-mini", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello, curl: é 漢字 🌊"}]}
EMBEDDING = {"model": "text-embedding-3-small", "input": "one sentence"}
JSON = ["content-type: application/json"]
SOUND = bytes(n * 7 % 251 for n in range(30_000))


def main():
    # One handle keeps its connection, as curl does for the addresses of one command.
    handle = pycurl.Curl()
    transcript = [
        ask(handle, "models", "/models", [], None),
        ask(handle, "chat", "/chat/completions", ["text", "usage"], CHAT),
        ask(handle, "chat with odd spacing", "/chat/completions", ["text"], json.dumps(CHAT, indent=7)),
        ask(handle, "chat stream", "/chat/completions", ["text"], {**CHAT, "stream": True}),
        ask(handle, "response stream", "/responses", ["text", "usage"], {"model": "gpt-4o", "input": "Hi.", "stream": True}),
        ask(handle, "embedding as floats", "/embeddings", ["embedding", "usage"], EMBEDDING),
        ask(handle, "embedding in base64", "/embeddings", ["usage"], {**EMBEDDING, "encoding_format": "base64"}),
        ask(handle, "speech", "/audio/speech", [], {"model": "gpt-4o-mini-tts", "voice": "ash", "input": "Hello."}),
        ask(handle, "transcription of a form", "/audio/transcriptions", ["text", "usage"], {"file": SOUND, "model": "gpt-4o-mini-transcribe"}),
        ask(handle, "packed answers welcome", "/chat/completions", ["text"], CHAT, {pycurl.ACCEPT_ENCODING: ""}),
        ask(handle, "expecting 100", "/chat/completions", ["text"], CHAT, headers=["expect: 100-continue"]),
        ask(handle, "in chunks", "/chat/completions", ["text"], CHAT, headers=["transfer-encoding: chunked"]),
        ask(handle, "of HTTP 1.0", "/chat/completions", ["text"], CHAT, {pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_0}),
        ask(handle, "head of models", "/models", [], None, {pycurl.NOBODY: True}),
        ask(handle, "unknown model", "/chat/completions", ["error 404"], {**CHAT, "model": "no-such-model"}),
        ask(handle, "no messages", "/chat/completions", ["error 400"], {"model": "gpt-4o-mini", "messages": []}),
        ask(handle, "unknown path", "/no/such/path", ["error 404"], {}),
        ask(handle, "unknown method", "/chat/completions", ["error 405"], None, {pycurl.CUSTOMREQUEST: "PATCH"}),
        ask(handle, "wrong key", "/chat/completions", ["error 401"], CHAT, key="sk-nobody-has-this-key"),
        ask(handle, "wrong key: none", "/chat/completions", ["error 401"], CHAT, key=None),
    ]
    # Another connection, of HTTP/2 from its first byte.
    handle = pycurl.Curl()
    two = {pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE}
    transcript += [
        ask(handle, "chat of HTTP/2", "/chat/completions", ["text", "usage"], CHAT, two),
        ask(handle, "chat stream of HTTP/2", "/chat/completions", ["text"], {**CHAT, "stream": True}, two),
        ask(handle, "unknown model of HTTP/2", "/chat/completions", ["error 404"], {**CHAT, "model": "no-such-model"}, two),
    ]
    json.dump(transcript, sys.stdout)


def form(handle, fields):
    mime = pycurl.CurlMime(handle)
    for name, value in fields.items():
        part = mime.addpart()
        part.name(name)
        part.data(value)
        if isinstance(value, bytes):
            part.filename("words.wav")
            part.type("audio/wav")
    return mime


def ask(handle, name, path, expects, body, options={}, headers=(), key=KEY):
    answer, heads = io.BytesIO(), []
    handle.reset()
    handle.setopt(pycurl.URL, BASE + path)
    handle.setopt(pycurl.WRITEFUNCTION, answer.write)
    handle.setopt(pycurl.HEADERFUNCTION, heads.append)
    handle.setopt(pycurl.TIMEOUT, 60)
    headers = list(headers) + ([f"authorization: Bearer {key}"] if key else [])
    if isinstance(body, dict) and "file" in body:
        handle.setopt(pycurl.MIMEPOST, form(handle, body))
    elif body is not None:
        body = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        handle.setopt(pycurl.POSTFIELDS, body.encode())
        headers += JSON
    handle.setopt(pycurl.HTTPHEADER, headers)
    for option, value in options.items():
        handle.setopt(option, value)
    handle.perform()
    status = handle.getinfo(pycurl.RESPONSE_CODE)
    said = {"status": status, **read(answer.getvalue())}
    if "error" in said.get("json", {}):
        said["message"] = said["json"]["error"]["message"]
    return {"case": f"curl {name}", "expects": expects, "said": said, "headers": fields(heads)}


def read(body):
    """Returns a body as the JSON or the events that it is; of others the bytes."""
    try:
        return {"json": json.loads(body)}
    except ValueError:
        pass
    if body.startswith((b"data: ", b"event: ")):
        return {"events": [event(line) for line in body.decode().split("\n")]}
    return {"bytes": len(body), "hex": body.hex()}


def event(line):
    data = line.removeprefix("data: ")
    return json.loads(data) if data.startswith("{") else line


def fields(heads):
    """Returns the headers behind the last status line, with the lines before it."""
    lines = [head.decode("latin-1").strip() for head in heads]
    lines = [line for line in lines if line]
    last = max(n for n, line in enumerate(lines) if line.startswith("HTTP/"))
    named = [line.split(": ", 1) for line in lines[last + 1 :]]
    return {**{name.lower(): value for name, value in named}, "(status lines)": [line for line in lines[: last + 1]]}


main()
