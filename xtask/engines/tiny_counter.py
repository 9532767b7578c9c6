#!/usr/bin/env python3
"""Write a tiny GGUF model whose whole answer is known beforehand, with the standard library alone.

A relay is best tested with a real engine that says something exact. Here the last token of the prompt
alone decides what comes next, so a lost, doubled or reordered token shows at once:

    prompt ends with    greedy answer                          ends by
    "Count:"            " 0 1 2 ... 499 0 1 ...", a token each  the limit
    " 41"               " 42 43 44 ..."                         the limit
    "A"                 "BCDEFGHIJKLMNOPQRSTUVWXYZ"             end of text
    "X"                 "YZ"                                    end of text
    "!"                 nothing                                 end of text
    anything else       " 0 1 2 ..."                            the limit

After "anything else" a temperature above 0 may start at another number below 40, so a seed can be seen
to matter.

How: every token's embedding is one-hot, attention and feed-forward run but add exactly zero, and the
output matrix is the table "which token follows which". --layers and --ff add work and change no answer.
The file is the same byte for byte on every machine.
"""

import argparse
import os
import struct
import sys

# Token ids of the control tokens are their places here.
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
END, TURN_START, TURN_END, PAD = range(4)
NUMBERS = 500
# A multiple of 32, so that the engine's vector code needs no tail. The rest is filled with unused tokens.
WIDTH = 768
HEAD = 64
CONTEXT = 131072

# Before the softmax: what must come, what may come, what never comes.
SURE, LIKELY, POSSIBLE, NEVER = 20.0, 9.0, 8.0, -20.0
SEEDED_STARTS = 40

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# GGUF's numbers for value types, tensor types and token kinds.
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TENSOR_F32, TENSOR_F16 = 0, 1
NORMAL, CONTROL_KIND, UNUSED = 1, 3, 5
ALIGNMENT = 32


def printable_bytes():
    """The byte alphabet of GPT-2: each byte as one visible character."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(spare)) for byte in range(256)]


BYTE = printable_bytes()


def spell(text):
    return "".join(BYTE[byte] for byte in text.encode())


def vocabulary():
    """All tokens, and the merges that make each number with its leading space a single token."""
    numbers = [spell(f" {n}") for n in range(NUMBERS)]
    merges = [f"{number[:-1]} {number[-1]}" for number in numbers]
    tokens = CONTROL + BYTE + numbers
    tokens += [f"<|unused{n}|>" for n in range(WIDTH - len(tokens))]
    return tokens, merges


def successors(tokens):
    """For each token, the logits of those that may follow; all others never do."""
    place = {token: index for index, token in enumerate(tokens)}
    number = [place[spell(f" {n}")] for n in range(NUMBERS)]
    # The falling part keeps the choice among the first 40 the same in every sampler.
    start = {number[n]: POSSIBLE - 0.05 * n for n in range(1, SEEDED_STARTS)} | {number[0]: LIKELY}
    follow = [start] * len(tokens)
    for n in range(NUMBERS):
        follow[number[n]] = {number[(n + 1) % NUMBERS]: SURE}
    follow[place[":"]] = {number[0]: SURE}
    for letter in range(ord("A"), ord("Z")):
        follow[place[chr(letter)]] = {place[chr(letter + 1)]: SURE}
    for last in "Z!":
        follow[place[last]] = {END: SURE}
    return follow


def halves(values):
    return struct.pack(f"<{len(values)}e", *values)


def tensors(tokens, layers, ff):
    """(name, shape as GGUF counts it, type, bytes) in file order."""
    scale = WIDTH**0.5  # RMS norm leaves a one-hot vector of this length as it is.
    embedding = bytearray()
    for token in range(len(tokens)):
        row = [0.0] * WIDTH
        row[token] = scale
        embedding += halves(row)
    follow = successors(tokens)
    output = bytearray()
    for token in range(len(tokens)):
        output += halves([follow[current].get(token, NEVER) / scale for current in range(WIDTH)])
    ones = struct.pack(f"<{WIDTH}f", *[1.0] * WIDTH)

    yield "token_embd.weight", (WIDTH, len(tokens)), TENSOR_F16, bytes(embedding)
    yield "output_norm.weight", (WIDTH,), TENSOR_F32, ones
    yield "output.weight", (WIDTH, len(tokens)), TENSOR_F16, bytes(output)
    inner = {
        "attn_q": (WIDTH, HEAD),
        "attn_k": (WIDTH, HEAD),
        "attn_v": (WIDTH, HEAD),
        "attn_output": (HEAD, WIDTH),
        "ffn_gate": (WIDTH, ff),
        "ffn_up": (WIDTH, ff),
        "ffn_down": (ff, WIDTH),
    }
    for layer in range(layers):
        yield f"blk.{layer}.attn_norm.weight", (WIDTH,), TENSOR_F32, ones
        yield f"blk.{layer}.ffn_norm.weight", (WIDTH,), TENSOR_F32, ones
        for name, shape in inner.items():
            yield f"blk.{layer}.{name}.weight", shape, TENSOR_F16, bytes(2 * shape[0] * shape[1])


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


PACK = {
    U32: lambda value: struct.pack("<I", value),
    I32: lambda value: struct.pack("<i", value),
    F32: lambda value: struct.pack("<f", value),
    BOOL: lambda value: struct.pack("<?", value),
    STRING: text,
}


def entry(key, kind, value):
    """One metadata entry; a list becomes an array of `kind`."""
    if isinstance(value, list):
        body = struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(map(PACK[kind], value))
    else:
        body = struct.pack("<I", kind) + PACK[kind](value)
    return text(key) + body


def metadata(tokens, merges, layers, ff):
    used = len(CONTROL) + len(BYTE) + NUMBERS
    kinds = [CONTROL_KIND] * len(CONTROL) + [NORMAL] * (used - len(CONTROL)) + [UNUSED] * (len(tokens) - used)
    return [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, "tiny-counter"),
        entry("general.file_type", U32, 1),  # mostly F16
        entry("llama.context_length", U32, CONTEXT),
        entry("llama.embedding_length", U32, WIDTH),
        entry("llama.block_count", U32, layers),
        entry("llama.feed_forward_length", U32, ff),
        entry("llama.attention.head_count", U32, 1),
        entry("llama.attention.head_count_kv", U32, 1),
        entry("llama.attention.key_length", U32, HEAD),
        entry("llama.attention.value_length", U32, HEAD),
        entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("llama.rope.dimension_count", U32, HEAD),
        entry("llama.rope.freq_base", F32, 10000.0),
        entry("llama.vocab_size", U32, len(tokens)),
        entry("tokenizer.ggml.model", STRING, "gpt2"),
        entry("tokenizer.ggml.pre", STRING, "gpt-2"),
        entry("tokenizer.ggml.tokens", STRING, tokens),
        entry("tokenizer.ggml.token_type", I32, kinds),
        entry("tokenizer.ggml.merges", STRING, merges),
        entry("tokenizer.ggml.bos_token_id", U32, END),
        entry("tokenizer.ggml.eos_token_id", U32, END),
        entry("tokenizer.ggml.eot_token_id", U32, TURN_END),
        entry("tokenizer.ggml.padding_token_id", U32, PAD),
        entry("tokenizer.ggml.add_bos_token", BOOL, False),
        entry("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]


def padding(size):
    return bytes(-size % ALIGNMENT)


def gguf(layers, ff):
    tokens, merges = vocabulary()
    entries = metadata(tokens, merges, layers, ff)
    weights = list(tensors(tokens, layers, ff))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(entries)) + b"".join(entries)
    offset, data = 0, []
    for name, shape, kind, raw in weights:
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        raw += padding(len(raw))
        data.append(raw)
        offset += len(raw)
    return head + padding(len(head)) + b"".join(data)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", help="the GGUF file to write")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--ff", type=int, default=64, help="width of the feed-forward part; more is slower")
    options = parser.parse_args()
    if options.layers < 1 or options.ff < 1:
        parser.error("--layers and --ff must be at least 1")
    partial = f"{options.out}.partial"
    with open(partial, "wb") as file:
        file.write(gguf(options.layers, options.ff))
    os.replace(partial, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
