"""A common text encoder: all-MiniLM-L6-v2."""

from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import Encoding, Tokenizer

import minilm
from protocols import Protocol
from server import Server
from test_batching import at_once

TOLERANCE = 1e-5

SENTENCES = (
    "This is an example sentence",
    "A cat sits on the mat.",
    "A kitten rests on a rug.",
    "Interest rates rose again this quarter.",
    "The central bank raised its rates once more.",
)

# The first numbers of the embedding of the first sentence, from the model card on Hugging Face
# (sentence-transformers/all-MiniLM-L6-v2).
PUBLISHED = [0.0676569, 0.0634959, 0.0487131, 0.0793050, 0.0374480]


@pytest.fixture(scope="module")
def tokenize() -> Callable[[str], Encoding]:
    """The model's own tokenizer."""
    tokenizer = Tokenizer.from_file(str(minilm.folder() / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer.encode


def padded(encodings: list[Encoding]) -> dict[str, np.ndarray]:
    """One tensor for several sentences."""
    length = max(len(encoding.ids) for encoding in encodings)

    def table(rows: list[list[int]]) -> np.ndarray:
        return np.array([row + [0] * (length - len(row)) for row in rows], np.int64)

    return {
        "input_ids": table([encoding.ids for encoding in encodings]),
        "attention_mask": table([encoding.attention_mask for encoding in encodings]),
        "token_type_ids": table([encoding.type_ids for encoding in encodings]),
    }


def test_embeddings_mean_something(protocol: Protocol, in_process, tokenize):
    inputs = padded([tokenize(sentence) for sentence in SENTENCES])
    embeddings = protocol.infer("minilm", inputs).as_numpy("sentence_embedding")
    np.testing.assert_allclose(embeddings, in_process("minilm", **inputs)["sentence_embedding"], atol=TOLERANCE)
    np.testing.assert_allclose(embeddings[0, : len(PUBLISHED)], PUBLISHED, atol=TOLERANCE)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=TOLERANCE)

    similarity = embeddings @ embeddings.T
    cats, rates, strangers = similarity[1, 2], similarity[3, 4], similarity[1:3, 3:5].max()
    assert min(cats, rates) > 0.5 > 0.2 > strangers


def test_sentences_of_several_lengths_at_once(server: Server, in_process, tokenize):
    requests = [padded([tokenize(" ".join(SENTENCES[: 1 + n % 5]))]) for n in range(30)]
    for request, result in zip(requests, at_once(server, "minilm", requests), strict=True):
        expected = in_process("minilm", **request)["sentence_embedding"]
        np.testing.assert_allclose(result.as_numpy("sentence_embedding"), expected, atol=TOLERANCE)
