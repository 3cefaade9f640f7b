"""Plays cases with pydantic-ai, blocking and async, and prints what came back as JSON.

Usage: play_pydantic_ai.py, with OPENAI_BASE_URL and OPENAI_API_KEY as the library itself reads them.
"""

import asyncio
import json
import sys

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, Embedder, NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

SETTINGS = {"max_tokens": 60, "timeout": 60.0}
PIXEL = BinaryContent(b"\x89PNG\r\n\x1a\n", media_type="image/png")


class Parcel(BaseModel):
    """Where a parcel is."""

    city: str
    days_late: int
    damaged: bool


def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"{city}: sleet"


def main():
    transcript = asyncio.run(play_all())
    json.dump(transcript, sys.stdout)


async def play_all():
    chat, responses = agent(OpenAIChatModel), agent(OpenAIResponsesModel)
    tools = agent(OpenAIChatModel, tools=[get_weather])
    parcel = agent(OpenAIChatModel, output_type=NativeOutput(Parcel))
    # It has to call one tool after the other: the weather's, then the one that ends the run.
    both = agent(OpenAIChatModel, tools=[get_weather], output_type=ToolOutput(Parcel))
    of_responses = agent(OpenAIResponsesModel, tools=[get_weather], output_type=ToolOutput(Parcel))
    transcript = [
        await play("chat", ["text", "usage"], chat, "Name three rivers: é, 漢字, 🌊."),
        await play("chat with an image", ["text"], chat, ["What is this?", PIXEL]),
        await play("chat with a tool", ["tool call", "text"], tools, "Ask get_weather of Oslo."),
        await play("chat with a schema", ["parcel"], parcel, "Where is the parcel?"),
        await play("chat with two tools in turn", ["tool call", "parcel"], both, "Where is the parcel?"),
        await play("response", ["text", "usage"], responses, "Say hello."),
        await play("response with two tools in turn", ["tool call", "parcel"], of_responses, "Where is the parcel?"),
        await stream("chat stream", ["text"], chat, "Tell a story."),
        await stream("chat stream with a tool", ["tool call", "text"], tools, "Ask get_weather of Oslo."),
        await stream("chat stream with a schema", ["parcel"], parcel, "Where is the parcel?"),
        await stream("response stream", ["text"], responses, "Count to ten."),
        await stream("response stream with tools", ["tool call", "parcel"], of_responses, "Where is the parcel?"),
        await play("unknown model", ["error 404"], agent(OpenAIChatModel, "no-such-model"), "Hello?"),
        await stream("unknown model, streamed", ["error 404"], agent(OpenAIChatModel, "no-such-model"), "Hello?"),
        await play("wrong key", ["error 401"], agent(OpenAIChatModel, key="sk-nobody-has-this-key"), "Hello?"),
        await embed("embeddings", ["one", "two sentences"]),
    ]
    # At once, as agents are used.
    asked = [play(f"chat at once {n}", ["text"], chat, f"Number {n}.") for n in range(4)]
    return transcript + await asyncio.gather(*asked, stream("chat stream at once", ["text"], chat, "Another story."))


def agent(kind, model="gpt-4o-mini", key=None, **options):
    client = AsyncOpenAI(max_retries=0, **({"api_key": key} if key else {}))
    return Agent(kind(model, provider=OpenAIProvider(openai_client=client)), model_settings=SETTINGS, retries=0, **options)


async def play(name, expects, agent, prompt):
    try:
        said = plain(await agent.run(prompt))
    except ModelHTTPError as error:
        said = refusal(error)
    return {"case": f"pydantic-ai {name}", "expects": expects, "said": said}


async def stream(name, expects, agent, prompt):
    try:
        async with agent.run_stream(prompt) as result:
            parts = [part async for part in result.stream_output(debounce_by=None)]
            said = {"parts": [dump(part) for part in parts], **plain(result, parts[-1])}
    except ModelHTTPError as error:
        said = refusal(error)
    return {"case": f"pydantic-ai {name}", "expects": expects, "said": said}


async def embed(name, texts):
    result = await Embedder("openai:text-embedding-3-small").embed_documents(texts)
    said = [{"embedding": list(vector)} for vector in result.embeddings]
    return {"case": f"pydantic-ai {name}", "expects": ["embedding"], "said": said}


def plain(result, output=None):
    usage = result.usage
    tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return {
        "text": dump(output if output is not None else result.output),
        "messages": json.loads(result.all_messages_json()),
        "usage": {**tokens, "total_tokens": usage.total_tokens},
    }


def dump(output):
    return output.model_dump() if isinstance(output, BaseModel) else output


def refusal(error):
    return {"error": type(error).__name__, "status": error.status_code, "message": error.message, "body": error.body}


main()
