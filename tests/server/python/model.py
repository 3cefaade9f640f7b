"""Makes a language model that knows nothing: tiny, random, the same at every run.

It is a llama of two layers that says words of two syllables in no order that means anything. Its
weights are drawn so that it always says a word, never a byte and never that it has ended: an answer
is as long as it was asked to be. llama.cpp loads it in a moment.
"""

import gguf
import numpy

CONTEXT, WIDTH, LAYERS, HEADS, INNER = 32768, 64, 2, 4, 128
SYLLABLES = ["ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "wo", "xa", "zu"]
TEMPLATE = (
    "{% for message in messages %}{{ message.role }} {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


def make(path: str) -> None:
    """Writes the model to a file."""
    tokens, kinds, first_word = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("nonsense")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    # Nothing of a prompt is joined to a word: it is read byte by byte.
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)
    for name, values in weights(len(tokens), first_word):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def vocabulary():
    """Returns all tokens, their kinds, and where the words begin."""
    kind = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL] + [kind.BYTE] * 256
    first_word = len(tokens)
    # U+2581 stands for the blank before a word.
    tokens += [f"\u2581{one}{two}" for one in SYLLABLES for two in SYLLABLES]
    kinds += [kind.NORMAL] * (len(tokens) - first_word)
    return tokens, kinds, first_word


def weights(size: int, first_word: int):
    """Yields the name and the values of each tensor."""
    dice = numpy.random.default_rng(7)

    def drawn(*shape: int, spread: float = 0.1):
        return dice.normal(0.0, spread, shape).astype(numpy.float32)

    ones = numpy.ones(WIDTH, dtype=numpy.float32)
    # The likeliest of the words is far likelier than what has no weight at all.
    said = drawn(size, WIDTH, spread=1.0)
    said[:first_word] = 0.0
    yield "token_embd.weight", drawn(size, WIDTH, spread=1.0)
    yield "output_norm.weight", ones
    yield "output.weight", said
    for layer in range(LAYERS):
        at = f"blk.{layer}"
        yield f"{at}.attn_norm.weight", ones
        yield f"{at}.ffn_norm.weight", ones
        for part in ["q", "k", "v", "output"]:
            yield f"{at}.attn_{part}.weight", drawn(WIDTH, WIDTH)
        yield f"{at}.ffn_gate.weight", drawn(INNER, WIDTH)
        yield f"{at}.ffn_up.weight", drawn(INNER, WIDTH)
        yield f"{at}.ffn_down.weight", drawn(WIDTH, INNER)

