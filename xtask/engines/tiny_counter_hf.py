#!/usr/bin/env python3
"""Write the tiny counter as a Hugging Face folder, for engines that read no GGUF.

The weights and the tokens are those of `tiny_counter.py`, so both files give the same answers. With the
standard library alone, and the same byte for byte on every machine.
"""

import argparse
import json
import os
import struct
import sys

import tiny_counter as counter

# GGUF's names of the tensors, and what they are called here.
RENAMED = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
FF = 64
SAFETENSORS_TYPE = {counter.TENSOR_F32: "F32", counter.TENSOR_F16: "F16"}


def name(gguf):
    parts = gguf.removesuffix(".weight").split(".")
    layer = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
    return f"{layer}{RENAMED[parts[-1]]}.weight"


def safetensors(tokens, layers):
    head, data, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for gguf, shape, kind, raw in counter.tensors(tokens, layers, FF):
        # GGUF counts the dimensions from the innermost one.
        outer_first = list(reversed(shape))
        place = [offset, offset + len(raw)]
        head[name(gguf)] = {"dtype": SAFETENSORS_TYPE[kind], "shape": outer_first, "data_offsets": place}
        data.append(raw)
        offset += len(raw)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data)


def config(tokens, layers):
    ends = [counter.END, counter.TURN_END]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": counter.WIDTH,
        "intermediate_size": FF,
        "num_hidden_layers": layers,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": counter.HEAD,
        "vocab_size": len(tokens),
        "max_position_embeddings": counter.CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": counter.END,
        "eos_token_id": ends,
        "pad_token_id": counter.PAD,
        "torch_dtype": "float16",
    }


def tokenizer(tokens, merges):
    control = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "normalizer": None,
        "post_processor": None,
        "added_tokens": [{"id": at, "content": text, **control} for at, text in enumerate(counter.CONTROL)],
        "pre_tokenizer": {**byte_level, "add_prefix_space": False},
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: at for at, token in enumerate(tokens)},
            "merges": merges,
        },
    }


def files(layers):
    tokens, merges = counter.vocabulary()
    end, pad = counter.CONTROL[counter.END], counter.CONTROL[counter.PAD]
    special = {"bos_token": end, "eos_token": end, "pad_token": pad}
    shape = config(tokens, layers)
    generation = {key: shape[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    tokens_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": counter.CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": counter.CHAT_TEMPLATE,
        **special,
    }
    documents = {
        "config.json": shape,
        "generation_config.json": generation,
        "tokenizer.json": tokenizer(tokens, merges),
        "tokenizer_config.json": tokens_config,
        "special_tokens_map.json": special,
    }
    for file, document in documents.items():
        yield file, json.dumps(document, indent=1, ensure_ascii=False).encode()
    yield "model.safetensors", safetensors(tokens, layers)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="the folder to write")
    parser.add_argument("--layers", type=int, default=1)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    for file, content in files(options.layers):
        partial = os.path.join(options.out, f"{file}.partial")
        with open(partial, "wb") as out:
            out.write(content)
        os.replace(partial, os.path.join(options.out, file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
