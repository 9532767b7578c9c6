#!/usr/bin/env python3
"""Run llama.cpp's own HTTP server from the `xllamacpp` wheel, with llama-server's flags.

No package index ships a `llama-server` binary, but the wheel carries the same C++ server and runs it in
this process. So the wire is the real one, and only the command line is ours. Flags that the project does
not use are left out on purpose: an unknown one is an error, not something silently ignored.
"""

import argparse
import os
import signal
import sys
import threading

import xllamacpp

# How often the main thread looks whether it should stop.
TICK_S = 0.1


def whole(least):
    """An argparse type: an integer that is at least `least`."""

    def parse(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    parse.__name__ = f"integer >= {least}"
    return parse


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", required=True, help="GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=whole(0), default=8080, help="0 takes any free port")
    parser.add_argument("-c", "--ctx-size", type=whole(0), default=0, help="all slots together; 0 is the model's own")
    parser.add_argument("-np", "--parallel", type=whole(1), default=1, help="slots")
    # More than one thread is slower on a busy small machine: the workers spin at barriers.
    parser.add_argument("-t", "--threads", type=whole(1), default=1)
    parser.add_argument(
        "-ngl", "--n-gpu-layers", "--gpu-layers", type=whole(0), help="layers on the GPU, where the wheel is built for one"
    )
    parser.add_argument("-a", "--alias", help="the model's name on the wire")
    parser.add_argument("--slots", action=argparse.BooleanOptionalAction, default=True, help="serve /slots")
    parser.add_argument("--metrics", action="store_true", help="serve /metrics")
    parser.add_argument("--api-key", action="append", default=[])
    parser.add_argument("--embeddings", action="store_true", help="serve /v1/embeddings, and /v1/rerank with its pooling")
    parser.add_argument("--pooling", choices=["mean", "rank"], default="mean", help="what a text's vector is made by")
    parser.add_argument("--chat-template-file", help="a template in place of the model's own")
    parser.add_argument(
        "--with-parent", action="store_true", help="stop when the process that started this one is gone"
    )
    options = parser.parse_args()
    if not os.path.isfile(options.model):
        parser.error(f"argument -m: there is no file {options.model}")
    return options


def server_params(options):
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.hostnames = [options.host]
    params.port = options.port
    params.n_ctx = options.ctx_size
    params.n_parallel = options.parallel
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    if options.n_gpu_layers is not None:
        params.n_gpu_layers = options.n_gpu_layers
    params.endpoint_slots = options.slots
    params.endpoint_metrics = options.metrics
    if options.embeddings:
        params.embedding = True
        pooling = xllamacpp.llama_pooling_type
        params.pooling_type = {
            "mean": pooling.LLAMA_POOLING_TYPE_MEAN,
            "rank": pooling.LLAMA_POOLING_TYPE_RANK,
        }[options.pooling]
    if options.chat_template_file:
        with open(options.chat_template_file, encoding="utf-8") as file:
            params.chat_template = file.read()
    if options.alias:
        params.model_alias = {options.alias}
    if options.api_key:
        params.api_keys = options.api_key
    return params


def main():
    options = arguments()
    parent = os.getppid()
    stop = threading.Event()
    # Set before the model loads, so that an early signal is not lost.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    server = xllamacpp.Server(server_params(options))
    print(f"listening on {server.listening_address}", flush=True)
    while not stop.wait(TICK_S):
        if options.with_parent and os.getppid() != parent:
            break
    # Dropping the last reference stops the C++ server and joins its threads.
    del server
    return 0


if __name__ == "__main__":
    sys.exit(main())
