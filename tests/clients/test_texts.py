"""all-MiniLM-L6-v2 with the files that its package has: text in, embedding out."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest
from tokenizers import Tokenizer

import minilm
from server import Server
from test_minilm import PUBLISHED, SENTENCES

TOLERANCE = 1e-5
# Of many lengths, the last one beyond the model's maximum of 256 tokens.
TEXTS = [" ".join(SENTENCES * 10)[: 3 * n] + f" {n}" for n in range(1, 200)] + [" ".join(SENTENCES * 10)]


@pytest.fixture(scope="module")
def serving(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the model in a folder as its exporters leave it."""
    version = tmp_path_factory.mktemp("texts") / "minilm" / "1"
    shutil.copytree(minilm.folder(), version, ignore=shutil.ignore_patterns("*.safetensors", "README.md"))
    shutil.copy(models / "minilm" / "1" / "model.onnx", version)
    with Server("--model-dir", version.parents[1], "--request-timeout-ms", "60000") as server:
        yield server.until_ready()


@pytest.fixture(scope="module")
def expected(in_process) -> np.ndarray:
    """Each text alone, without padding, by the library of the model's authors and ONNX Runtime."""
    tokenizer = Tokenizer.from_file(str(minilm.folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)

    def embedding(text: str) -> np.ndarray:
        encoding = tokenizer.encode(text)
        inputs = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
        tensors = {name: np.array([values], np.int64) for name, values in inputs.items()}
        return in_process("minilm", **tensors)["sentence_embedding"][0]

    return np.array([embedding(text) for text in TEXTS])


def test_one_text(serving: Server):
    answer = serving.post("/predict", {"text": SENTENCES[0], "request_id": "r"}).json()
    np.testing.assert_allclose(answer["prediction"][: len(PUBLISHED)], PUBLISHED, atol=TOLERANCE)
    assert (answer["confidence"], answer["request_id"]) == (None, "r")
    assert "truncated" not in answer


def test_texts_of_every_length_are_embedded_as_alone(serving: Server, expected: np.ndarray):
    answer = serving.post("/predict", {"text": TEXTS}).json()
    np.testing.assert_allclose(answer["prediction"], expected, atol=TOLERANCE)
    assert answer["truncated"][-1] and not answer["truncated"][0]


def test_kserves_v1(serving: Server, expected: np.ndarray):
    answer = serving.post("/v1/models/minilm:predict", {"instances": TEXTS[:3]}).json()
    np.testing.assert_allclose(answer["predictions"], expected[:3], atol=TOLERANCE)


def test_the_client_of_openai(serving: Server, expected: np.ndarray):
    client = openai.OpenAI(base_url=serving.url("/v1"), api_key="none", max_retries=0)
    # The client asks for base64 unless it is told otherwise.
    response = client.embeddings.create(model="minilm", input=TEXTS[:5])
    np.testing.assert_allclose([item.embedding for item in response.data], expected[:5], atol=TOLERANCE)
    assert response.usage.prompt_tokens > 5
    response = client.embeddings.create(model="minilm", input=TEXTS[0], encoding_format="float")
    np.testing.assert_allclose(response.data[0].embedding, expected[0], atol=TOLERANCE)
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="unknown", input="a")
    assert unknown.value.code == "unknown_model"
    with pytest.raises(openai.UnprocessableEntityError) as tokens:
        client.embeddings.create(model="minilm", input=[1, 2, 3])
    assert tokens.value.param == "input"


def test_base64_is_that_of_little_endian_floats(serving: Server, expected: np.ndarray):
    body = {"model": "minilm", "input": TEXTS[0], "encoding_format": "base64"}
    (item,) = serving.post("/v1/embeddings", body).json()["data"]
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(item["embedding"]), "<f4"), expected[0], atol=TOLERANCE)


def test_what_is_no_text_is_refused_with_its_position(serving: Server):
    for body, field in (
        ({"text": 1}, "text"),
        ({"text": ["a", None]}, "text[1]"),
        ({"text": "a", "text_pair": "b"}, "text"),
        ({"text": "a" * 70_000}, "text"),
        ({"features": [1]}, "text"),
    ):
        response = serving.post("/predict", body)
        assert (response.status, response.json()["error"]["field"]) == (422, field)
    response = serving.post("/rerank", {"query": "a", "texts": ["b"]})
    assert response.json()["error"]["code"] == "unsupported_model"
