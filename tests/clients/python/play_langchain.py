"""Plays cases with langchain-openai, blocking and async, and prints what came back as JSON.

Usage: play_langchain.py, with OPENAI_BASE_URL and OPENAI_API_KEY as the library itself reads them.
"""

import asyncio
import json
import os
import sys

os.environ["LANGSMITH_TRACING"] = "false"

import openai
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

OPTIONS = {"model": "gpt-4o-mini", "max_retries": 0, "timeout": 60, "max_tokens": 40}
CHAT = [SystemMessage("You are terse."), HumanMessage("Name three rivers: é, 漢字, 🌊.")]


class Parcel(BaseModel):
    """Where a parcel is."""

    city: str
    days_late: int
    damaged: bool


def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"{city}: sleet"


def main():
    chat = ChatOpenAI(**OPTIONS)
    shown = ChatOpenAI(**OPTIONS, include_response_headers=True)
    responses = ChatOpenAI(**OPTIONS, use_responses_api=True)
    tools = chat.bind_tools([get_weather])
    vectors = OpenAIEmbeddings(model="text-embedding-3-small", max_retries=0, check_embedding_ctx_length=False)
    parcel = "Where is the parcel?"
    transcript = [
        play("chat", ["text", "usage"], lambda: chat.invoke(CHAT)),
        play("chat with headers", ["text", "usage"], lambda: shown.invoke(CHAT)),
        play("chat stream", ["text", "usage"], lambda: list(chat.stream(CHAT, stream_usage=True))),
        play("chat stream without usage", ["text"], lambda: list(chat.stream(CHAT, stream_usage=False))),
        play("chats at once", ["text"], lambda: chat.batch(["One.", "Two.", "Three."])),
        play("chat with a tool", ["tool call"], lambda: tools.invoke("Ask get_weather of Oslo.")),
        play("chat with a tool, streamed", ["tool call"], lambda: list(tools.stream("Ask get_weather of Oslo."))),
        play("chat after a tool", ["text"], lambda: tools.invoke(after_a_tool())),
        play("chat with a schema", ["parcel"], lambda: chat.with_structured_output(Parcel).invoke(parcel)),
        play("chat with a schema as a call", ["parcel"], lambda: by_call(chat).invoke(parcel)),
        play("chat with an image", ["text"], lambda: chat.invoke([HumanMessage(image())])),
        play("response", ["text", "usage"], lambda: responses.invoke(CHAT)),
        play("response stream", ["text", "usage"], lambda: list(responses.stream(CHAT))),
        play("response with a tool", ["tool call"], lambda: responses.bind_tools([get_weather]).invoke("Ask get_weather.")),
        play("response with a schema", ["parcel"], lambda: responses.with_structured_output(Parcel).invoke(parcel)),
        play("embeddings", ["embedding"], lambda: named(vectors.embed_documents(["one", "two sentences"]))),
        play("embeddings as floats", ["embedding"], lambda: named([floats().embed_query("one")])),
        play("unknown model", ["error 404"], lambda: ChatOpenAI(**{**OPTIONS, "model": "no-such-model"}).invoke(CHAT)),
        play("unknown model, streamed", ["error 404"], lambda: list(ChatOpenAI(**{**OPTIONS, "model": "no-such-model"}).stream(CHAT))),
        play("wrong key", ["error 401"], lambda: ChatOpenAI(**OPTIONS, api_key="sk-nobody-has-this-key").invoke(CHAT)),
        play("no messages", ["error 400"], lambda: chat.invoke([])),
    ]
    transcript.extend(asyncio.run(play_async(chat, responses, vectors)))
    json.dump(transcript, sys.stdout)


def play(name, expects, ask):
    try:
        said = plain(ask())
    except openai.APIStatusError as error:
        said = {"error": type(error).__name__, "status": error.status_code, "message": error.message}
    headers = {"headers": said["response_metadata"].pop("headers")} if name == "chat with headers" else {}
    return {"case": f"langchain {name}", "expects": expects, "said": said, **headers}


async def play_async(chat, responses, vectors):
    # At once, as the async client is used.
    return await asyncio.gather(
        play_one_async("chat", ["text", "usage"], chat.ainvoke(CHAT)),
        play_one_async("chat stream", ["text"], collected(chat.astream(CHAT))),
        play_one_async("chat with a schema", ["parcel"], chat.with_structured_output(Parcel).ainvoke("Where?")),
        play_one_async("response stream", ["text"], collected(responses.astream(CHAT))),
        play_one_async("embeddings", ["embedding"], vectors.aembed_documents(["one", "two sentences"])),
    )


async def play_one_async(name, expects, asking):
    answer = await asking
    said = named(answer) if expects == ["embedding"] else plain(answer)
    return {"case": f"langchain async {name}", "expects": expects, "said": said}


async def collected(stream):
    return [part async for part in stream]


def after_a_tool():
    call = {"name": "get_weather", "args": {"city": "Oslo"}, "id": "call_1"}
    return [HumanMessage("What is the weather?"), AIMessage("", tool_calls=[call]), ToolMessage("sleet", tool_call_id="call_1")]


def by_call(chat):
    return chat.with_structured_output(Parcel, method="function_calling", include_raw=True)


def image():
    return [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]


def floats():
    return OpenAIEmbeddings(
        model="text-embedding-3-small", check_embedding_ctx_length=False, model_kwargs={"encoding_format": "float"}
    )


def named(vectors):
    return [{"embedding": vector} for vector in vectors]


def plain(answer):
    if isinstance(answer, list):
        return [plain(part) for part in answer]
    if isinstance(answer, dict):
        return {name: plain(part) for name, part in answer.items()}
    return answer.model_dump(mode="json") if isinstance(answer, BaseModel) else answer


main()
