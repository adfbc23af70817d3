"""Small tokenizers with the chat templates of well-known model families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

# How Llama 3 and Qwen cut a text into words: line ends stay together.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CORPUS = [
    "You are a helpful assistant.\n\nWhat is the weather like in Paris today?\n",
    "The weather is fine, thank you.\n\nHow may I help you with the weather?\n",
    "user\nassistant\nmodel\nsystem\n\nFirst question. another one? Probe answer [INST] [/INST]",
] * 3

_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As ChatML, with a default system message, as Qwen 2.5 has it.
_QWEN = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}" + _CHATML
)
# Reasoning is taken out of the history, and an empty block written where an answer has none, as
# Qwen 3 has it.
_QWEN_THINKING = (
    "{%- set ns = namespace(last=-1) -%}{%- for m in messages -%}{%- if m['role'] == 'user' -%}"
    "{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}{%- for m in messages -%}"
    "{%- if m['role'] != 'assistant' -%}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{%- else -%}"
    "{%- set c = m['content'] -%}{%- set r = '' -%}{%- if '</think>' in c -%}"
    "{%- set r = c.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') -%}"
    "{%- set c = c.split('</think>')[-1].lstrip('\n') -%}{%- endif -%}"
    "{%- if loop.index0 > ns.last and (loop.last or r) -%}"
    "{{ '<|im_start|>assistant\n<think>\n' + r.strip('\n') + '\n</think>\n\n' + c.lstrip('\n') }}"
    "{%- else -%}{{ '<|im_start|>assistant\n' + c }}{%- endif -%}{{ '<|im_end|>\n' }}{%- endif -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
_LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] +"
    " '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' +"
    " message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
_MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + eos_token }}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
# Passes over a system message in silence, and ends an answer with nothing but a newline.
_ENDLESS = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['role'] + ': ' + message['content'] + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)

TEMPLATES = {
    "chatml": (_CHATML, ["<|im_start|>", "<|im_end|>"], "<|im_end|>"),
    "qwen": (_QWEN, ["<|im_start|>", "<|im_end|>"], "<|im_end|>"),
    "qwen-thinking": (
        _QWEN_THINKING,
        ["<|im_start|>", "<|im_end|>"],
        "<|im_end|>",
    ),
    "llama-3": (
        _LLAMA3,
        ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "<|end_of_text|>",
    ),
    "gemma": (_GEMMA, ["<start_of_turn>", "<end_of_turn>"], "<eos>"),
    "mistral": (_MISTRAL, [], "</s>"),
    "mistral-sentencepiece": (_MISTRAL, [], "</s>"),
    "endless": (_ENDLESS, [], "</s>"),
}


def _train(sentencepiece: bool, specials: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    trainer: dict[str, Any] = {"vocab_size": 500, "special_tokens": ["<unk>", *specials]}
    if sentencepiece:
        # As Llama 2 and Mistral 7B have it: every text is given a space at its start.
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_WORDS), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(_CORPUS, trainers.BpeTrainer(show_progress=False, **trainer))
    return tokenizer


def build_chat_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer for one of the templates."""
    template, specials, eos = TEMPLATES[name]
    return build_with_template(template, specials, eos, sentencepiece="sentencepiece" in name)


def build_with_template(
    template: str, specials: Sequence[str], eos: str, *, sentencepiece: bool = False
) -> PreTrainedTokenizerFast:
    """A tokenizer with a chat template and the special tokens that it writes."""
    backend = _train(sentencepiece, ["<s>", eos, *specials])
    # No special tokens: Qwen 3's tags are kept when an answer is decoded.
    tags = [tag for name in ("think", "tool_call") for tag in (f"<{name}>", f"</{name}>")]
    backend.add_tokens(
        [AddedToken(tag, special=False, normalized=False) for tag in tags if tag in template]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token=eos,
        unk_token="<unk>",
        extra_special_tokens=[token for token in specials if token != eos],
        chat_template=template,
    )
