"""Plays cases with the `llm` command line and prints what it wrote as JSON.

Usage: play_llm.py, with OPENAI_BASE_URL and OPENAI_API_KEY, which the command hands to its SDK.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

LLM = Path(sys.executable).parent / "llm"
SCHEMA = "name, age int"
TOOL = '''
def get_weather(city: str) -> str:
    "Tells the weather of a city."
    return f"{city}: sleet"
'''


def main():
    chat = ["prompt", "-m", "gpt-4o-mini"]
    transcript = [
        run("prompt", ["text"], *chat, "--no-stream", "Name three rivers: é, 漢字, 🌊."),
        run("streamed prompt", ["text"], *chat, "-s", "Be terse.", "-o", "max_tokens", "30", "Tell a story."),
        run("schema", ["text"], *chat, "--no-stream", "--schema", SCHEMA, "Invent a dog."),
        run("tool", ["text"], *chat, "--functions", TOOL, "--td", "Ask get_weather of Oslo."),
        run("embedding", ["text"], "embed", "-m", "text-embedding-3-small", "-c", "one sentence"),
        run("unknown model", ["failure"], "prompt", "-m", "gpt-4.1", "Hello?"),
        logged(),
        run("wrong key", ["failure"], *chat, "--key", "sk-nobody-has-this-key", "Hello?"),
    ]
    json.dump(transcript, sys.stdout)


def run(name, expects, *arguments):
    done = subprocess.run([LLM, *arguments], capture_output=True, text=True, timeout=60, env=os.environ)
    said = {"code": done.returncode, "text": done.stdout, "words": done.stderr}
    return {"case": f"llm {name}", "expects": expects, "said": said}


def logged():
    """Returns what it wrote into its log, which knows more of the answers than it shows."""
    done = subprocess.run([LLM, "logs", "--json", "-n", "0"], capture_output=True, check=True, timeout=60)
    kept = ("model", "prompt", "response", "response_json", "input_tokens", "output_tokens", "tool_calls", "tool_results")
    said = [{name: one[name] for name in kept} for one in json.loads(done.stdout)]
    return {"case": "llm logs", "expects": ["text", "usage", "tool call"], "said": said}


main()
