"""Plays cases with instructor on openai-python 2, blocking and async, and prints what came back as JSON.

Usage: play_instructor.py, with OPENAI_BASE_URL and OPENAI_API_KEY as the SDK itself reads them.
"""

import asyncio
import json
import sys
from typing import Literal

import instructor
import openai
from instructor.core import InstructorRetryException
from pydantic import BaseModel

OPTIONS = {"max_retries": 0, "timeout": 60.0}
MODES = {"tools": instructor.Mode.TOOLS, "a schema": instructor.Mode.JSON_SCHEMA, "responses": instructor.Mode.RESPONSES_TOOLS}


class Parcel(BaseModel):
    """Where a parcel is."""

    city: str
    days_late: int
    damaged: bool
    weight: Literal["light", "heavy"] | None


class Delivery(BaseModel):
    """What came together."""

    parcels: list[Parcel]
    signed: bool


def main():
    transcript = []
    for name, mode in MODES.items():
        client = instructor.from_openai(openai.OpenAI(**OPTIONS), mode=mode)
        transcript.append(play(f"one by {name}", ["parcel"], lambda: client.create(response_model=Parcel, **asked())))
        transcript.append(play(f"nested by {name}", ["parcel"], lambda: client.create(response_model=Delivery, **asked())))
    client = instructor.from_openai(openai.OpenAI(**OPTIONS))
    transcript += [
        play("with its completion", ["parcel", "usage"], lambda: client.create_with_completion(response_model=Parcel, **asked())),
        play("in parts", ["parcel"], lambda: list(client.create_partial(response_model=Parcel, **asked()))),
        play("one after the other", ["parcel"], lambda: list(client.create_iterable(response_model=Parcel, **asked()))),
        play("unknown model", ["error 404"], lambda: client.create(response_model=Parcel, **asked("no-such-model"))),
        play("wrong key", ["error 401"], lambda: stranger().create(response_model=Parcel, **asked())),
    ]
    transcript.extend(asyncio.run(play_async()))
    json.dump(transcript, sys.stdout)


def asked(model="gpt-4o-mini", content="Where is the parcel?"):
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_retries": 1}


def stranger():
    return instructor.from_openai(openai.OpenAI(**OPTIONS, api_key="sk-nobody-has-this-key"))


def play(name, expects, ask):
    try:
        said = plain(ask())
    except (openai.APIStatusError, InstructorRetryException) as error:
        said = refusal(error)
    return {"case": f"instructor {name}", "expects": expects, "said": said}


async def play_async():
    # At once, as the async client is used.
    client = instructor.from_openai(openai.AsyncOpenAI(**OPTIONS))
    return await asyncio.gather(*(play_one_async(client, n) for n in range(4)))


async def play_one_async(client, number):
    answer = await client.create(response_model=Delivery, **asked(content=f"Where is parcel {number}?"))
    return {"case": f"instructor async {number}", "expects": ["parcel"], "said": plain(answer)}


def plain(answer):
    if isinstance(answer, (list, tuple)):
        return [plain(part) for part in answer]
    return answer.model_dump(mode="json")


def refusal(error):
    # It wraps what the SDK raised.
    while not isinstance(error, openai.APIStatusError):
        error = error.__cause__ or error.args[0]
    return {"error": type(error).__name__, "status": error.status_code, "code": error.code, "message": error.message}


main()
