"""Made the files beside it: export.py OUT. Tiny models with random weights, exported by
torch.onnx.export with dynamic axes, both ways. Needs torch 2.15.0, transformers 5.23.0, onnxscript and
onnx, which nothing else here needs. The corpus checks the truth of each file.

Names beginning with dep_ are dependent models."""

import gzip
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
import transformers as hf
from torch import nn

IDS = ("int64", ["length"], {"integers": [3, 24]})
MASK = ("int64", ["length"], {"mask": True})
KINDS = ("int64", ["length"], {"integers": [0, 2]})
PIXELS = ("float32", [3, 16, 16], {"uniform": [-1, 1]})
TOKENS = {"input_ids": IDS, "attention_mask": MASK}
SIZES = {"vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 24}
LENGTHS = [5, 8]


def vectors(*shape) -> tuple:
    """An input of floats."""
    return ("float32", list(shape), {"normal": [0.3, 3.0]})


class Tensors(nn.Module):
    """A model of transformers that gives some of its outputs."""

    def __init__(self, config, kind, names: list[str], outputs: list[str]):
        super().__init__()
        config._attn_implementation = "eager"
        self.model, self.names, self.outputs = kind(config).eval(), names, outputs

    def forward(self, *arguments):
        found = self.model(**dict(zip(self.names, arguments)), return_dict=True)
        return tuple(getattr(found, name) for name in self.outputs)


class Function(nn.Module):
    """A function of tensors with one linear layer."""

    def __init__(self, function):
        super().__init__()
        self.function, self.layer = function, nn.Linear(8, 8)

    def forward(self, *arguments):
        return self.function(self.layer, *arguments)


class Recurrent(nn.Module):
    """Words through a recurrent network; the last step decides."""

    def __init__(self, kind, **options):
        super().__init__()
        self.words, self.steps = nn.Embedding(24, 8), kind(8, 6, batch_first=True, **options)
        self.last = nn.Linear(6 * (1 + options.get("bidirectional", False)), 3)

    def forward(self, x):
        return self.last(self.steps(self.words(x))[0][:, -1])


GPT2 = {"vocab_size": 24, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 24, "use_cache": False}
CLIP_TEXT = {"vocab_size": 24, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 24, "projection_dim": 8}
TRANSFORMERS = {
    "bert_eager": (hf.BertConfig(**SIZES), hf.BertForSequenceClassification, {**TOKENS, "token_type_ids": KINDS}, ["logits"]),
    "roberta_eager": (hf.RobertaConfig(**SIZES, pad_token_id=1), hf.RobertaModel, TOKENS, ["last_hidden_state", "pooler_output"]),
    "distilbert_eager": (hf.DistilBertConfig(vocab_size=24, dim=16, n_layers=1, n_heads=2, hidden_dim=16, max_position_embeddings=24), hf.DistilBertForTokenClassification, TOKENS, ["logits"]),
    "gpt2_eager": (hf.GPT2Config(**GPT2), hf.GPT2LMHeadModel, TOKENS, ["logits"]),
    "gpt2_classifier": (hf.GPT2Config(**GPT2, pad_token_id=0), hf.GPT2ForSequenceClassification, TOKENS, ["logits"]),
    "llama_eager": (hf.LlamaConfig(**SIZES, num_key_value_heads=1, use_cache=False), hf.LlamaForCausalLM, TOKENS, ["logits"]),
    "electra": (hf.ElectraConfig(**SIZES, embedding_size=8), hf.ElectraForQuestionAnswering, {**TOKENS, "token_type_ids": KINDS}, ["start_logits", "end_logits"]),
    "albert": (hf.AlbertConfig(**SIZES, embedding_size=8), hf.AlbertForSequenceClassification, {**TOKENS, "token_type_ids": KINDS}, ["logits"]),
    "mpnet": (hf.MPNetConfig(**SIZES), hf.MPNetModel, TOKENS, ["last_hidden_state"]),
    "t5_encoder": (hf.T5Config(vocab_size=24, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2), hf.T5EncoderModel, TOKENS, ["last_hidden_state"]),
    "clip_text_eos2": (hf.CLIPTextConfig(**CLIP_TEXT, eos_token_id=2), hf.CLIPTextModelWithProjection, TOKENS, ["text_embeds"]),
    "vit_eager": (hf.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8), hf.ViTForImageClassification, {"pixel_values": PIXELS}, ["logits"]),
}

X = {"x": vectors(8)}
FRAMES = {"x": vectors(6, 8)}
PLACES = {"x": vectors(6, 8), "n": ("int64", [], {"integers": [0, 6]})}
FUNCTIONS = {
    "view_size": (lambda layer, x: layer(x).view(x.size(0), 2, -1).softmax(-1).flatten(1), X),
    "arange_gather_last": (lambda layer, x, n: x[torch.arange(x.size(0)), n], PLACES),
    "gather_expand": (lambda layer, x, n: x.gather(1, n.view(-1, 1, 1).expand(-1, 1, 8)).squeeze(1), PLACES),
    "frames_to_batch": (lambda layer, x: layer(x.reshape(-1, 8)).reshape(x.shape[0], -1, 8).mean(1), FRAMES),
    "roll_columns": (lambda layer, x: torch.roll(layer(x), 2, 1), X),
    "std_of_row": (lambda layer, x: (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-5), X),
    "cdist_to_weights": (lambda layer, x: torch.cdist(x, layer.weight), X),
    "DEP_softmax_rows": (lambda layer, x: layer(x).softmax(0), X),
    "DEP_batchnorm_functional": (lambda layer, x: nn.functional.batch_norm(layer(x), None, None, training=True), X),
    "DEP_contrastive": (lambda layer, x: nn.functional.normalize(x, dim=-1) @ nn.functional.normalize(layer(x), dim=-1).t(), X),
    "DEP_roll_rows": (lambda layer, x: torch.roll(x, 1, 0), X),
    "DEP_transpose_view": (lambda layer, x: x.transpose(0, 1).reshape(x.size(0), -1), FRAMES),
    "DEP_std_all": (lambda layer, x: x / x.std(), X),
    "DEP_arange_rows": (lambda layer, x: x + torch.arange(x.size(0)).unsqueeze(1), X),
    "DEP_repeat_tile": (lambda layer, x: x.repeat(3, 1).view(x.size(0), 3, 8).sum(1), X),
    "DEP_view_mix": (lambda layer, x: x.reshape(2, -1).softmax(1).reshape(-1, 8), X),
}
# Its places in the flattened rows come from the data, without a bound that the graph tells.
HARD = {"torch_script_arange_gather_last"}
RECURRENT = {"lstm": (nn.LSTM, {}), "gru": (nn.GRU, {}), "bilstm": (nn.LSTM, {"bidirectional": True})}


def example(kind: tuple) -> torch.Tensor:
    """Two rows of an input."""
    dtype, shape, values = kind
    sizes = [2, *(LENGTHS[0] if isinstance(size, str) else size for size in shape)]
    if dtype == "float32":
        return torch.rand(sizes)
    return torch.ones(sizes, dtype=torch.int64) if "mask" in values else torch.randint(*values["integers"], sizes)


def exported(model: nn.Module, inputs: dict[str, tuple], dynamo: bool) -> onnx.ModelProto:
    """The model with the axes 0 and `length` dynamic."""
    arguments = tuple(example(kind) for kind in inputs.values())
    axes = {name: {0: "batch", **{place + 1: size for place, size in enumerate(kind[1]) if isinstance(size, str)}} for name, kind in inputs.items()}
    options = {"opset_version": 17, "dynamic_axes": axes}
    if dynamo:
        known = {"batch": torch.export.Dim("batch"), "length": torch.export.Dim("length")}
        shapes = tuple({place: known[name] for place, name in axis.items()} for axis in axes.values())
        options = {"dynamic_shapes": shapes if isinstance(model, Recurrent) else (shapes,), "external_data": False}
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        torch.onnx.export(model.eval(), arguments, file.name, input_names=list(inputs), dynamo=dynamo, **options)
        return onnx.load(file.name)


def bare(model: onnx.ModelProto) -> bytes:
    """The model without what tells of its making, which is most of it."""

    def strip(graph: onnx.GraphProto) -> None:
        del graph.value_info[:], graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    strip(attribute.g)

    strip(model.graph)
    del model.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def main() -> None:
    """Writes every model that isn't there."""
    out = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    makers = {name: (lambda entry=entry: Tensors(entry[0], entry[1], list(entry[2]), entry[3]), entry[2]) for name, entry in TRANSFORMERS.items()}
    makers |= {name: (lambda entry=entry: Function(entry[0]), entry[1]) for name, entry in FUNCTIONS.items()}
    makers |= {name: (lambda entry=entry: Recurrent(entry[0], **entry[1]), {"x": IDS}) for name, entry in RECURRENT.items()}
    for name, (make, inputs) in makers.items():
        for dynamo in (False, True):
            label = f"torch_{'dynamo' if dynamo else 'script'}_{name.replace('DEP_', 'dep_')}"
            path = out / f"{label}.onnx.gz"
            if path.exists():
                continue
            try:
                content = bare(exported(make(), inputs, dynamo))
            except Exception as error:  # noqa: BLE001: not every function can be exported
                print(f"{label}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
                continue
            path.write_bytes(gzip.compress(content, 9, mtime=0))
            kinds = [{"name": key, "dtype": kind[0], "shape": kind[1], "values": kind[2]} for key, kind in inputs.items()]
            dims = {"length": LENGTHS} if any("length" in kind[1] for kind in inputs.values()) else {}
            (out / f"{label}.json").write_text(json.dumps({"truth": "unknown-ok" if label in HARD else "dependent" if "DEP_" in name else "independent", "inputs": kinds, "dims": dims}))


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    main()
