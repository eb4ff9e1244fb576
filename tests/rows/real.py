"""Models that packages on PyPI carry in their wheels (requirements-alone.txt). The packages aren't
imported: only their files are read."""

import importlib.util
import sys
from pathlib import Path

from graph import CASES, DEPENDENT, HARD, INDEPENDENT, Case, I, Input, M

sys.path.insert(0, str(Path(__file__).parent.parent / "clients"))
import minilm  # noqa: E402

PIXELS = {"uniform": [-1.0, 1.0]}


def file(package: str, path: str) -> Path:
    """A file of an installed package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0]) / path


def real(name: str, package: str, path: str, inputs: dict[str, Input] | None, truth: str = INDEPENDENT, why: str = "", dims: dict | None = None) -> None:
    """Declares a model of a package. Without inputs it has none with an axis of rows, and isn't run."""

    def make() -> Case:
        content = file(package, path).read_bytes()
        return Case(name, truth, why or "the package's users run it on batches", content, [given.sidecar(key) for key, given in (inputs or {}).items()], dims or {}, family="real")

    CASES[name] = make


def floats(*shape, values: dict = PIXELS) -> Input:
    """An input of floats."""
    return Input("float32", shape, values)


LENGTH = {"length": [6, 9]}
real("arabic_names_encoder", "arabic_name_romanizer", "resources/encoder.onnx", {"src": I("length", low=1, high=30), "src_mask": Input("bool", ("length",), {"mask": True})}, dims=LENGTH)
real(
    "arabic_names_decoder",
    "arabic_name_romanizer",
    "resources/decoder.onnx",
    {"prefix": I("target", low=1, high=30), "memory": floats("length", 256), "src_mask": Input("bool", ("length",), {"mask": True}), "hidden": floats(2, 256)},
    dims={**LENGTH, "target": [1]},
)
real("basic_pitch", "basic_pitch", "saved_models/icassp_2022/nmp.onnx", {"serving_default_input_2:0": floats(43844, 1)})
real("magika", "magika", "models/standard_v3_3/model.onnx", {"bytes": Input("int32", (2048,), {"integers": [0, 257]})})
real("nudenet", "nudenet", "320n.onnx", {"images": floats(3, 64, 64, values={"uniform": [0, 1]})})
real("orinet", "occular_deskew", "weights/orientation_orinet_fp32.onnx", {"x": floats(3, 320, 320)})
real("ppocr_classifier", "rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": floats(3, 48, 192)})
real("ppocr_detector", "rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", {"x": floats(3, 64, 96)})
real("ppocr_recogniser", "rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx", {"x": floats(3, 48, 64)})
real("nakdimon", "piper", "hebrew/nakdimon.onnx", {"input_1": Input("float32", ("length",), {"integers": [0, 30]})}, dims=LENGTH)
real(
    "tashkeel",
    "piper",
    "tashkeel/model.onnx",
    {"char_inputs": I("length", low=1, high=20), "diac_inputs": I("length", low=0, high=10), "input_lengths": I(low=1, high=6)},
    HARD,
    "rows are sorted by their lengths, and put back",
    LENGTH,
)
real("spindles_eeg", "brainmaze_eeg_models", "spindles/_models/spindle-detector-eeg.onnx", {"raw_signal": floats(1, 7500), "spectrogram": floats(15, 7500)})
real("seizures", "brainmaze_eeg_models", "seizure/_models/modelA_paper.onnx", {"x": floats(100, "length")}, DEPENDENT, "the outputs are [time, N, 4]", LENGTH)
real("captcha", "captcha_whisperer", "models/captcha_crnn.onnx", {"image": floats(3, 60, 160)}, DEPENDENT, "the output is [20, N, 37]")
NO_ROWS = "an input's first axis isn't the rows'"
real("silero", "silero_vad", "data/silero_vad.onnx", None, DEPENDENT, NO_ROWS)
real("silero_opset_15", "silero_vad", "data/silero_vad_16k_op15.onnx", None, DEPENDENT, NO_ROWS)
real("silero_opset_18", "silero_vad", "data/silero_vad_op18_ifless.onnx", None, DEPENDENT, NO_ROWS)
real("silero_half", "silero_vad", "data/silero_vad_half.onnx", None, DEPENDENT, NO_ROWS)
real("silero_openvino", "silero_vad", "data/silero_vad_openvino_16k.onnx", None, DEPENDENT, NO_ROWS)
real("silero_sequence", "silero_vad", "data/silero_vad_16k_sequence.onnx", None, DEPENDENT, "the first axis is time")


def build_minilm() -> Case:
    """The text encoder of the client tests."""
    kinds = {"input_ids": I("length", low=1, high=30000), "attention_mask": M("length"), "token_type_ids": I("length", high=1)}
    return Case("minilm", INDEPENDENT, "an encoder with mean pooling", minilm.build(), [given.sidecar(key) for key, given in kinds.items()], LENGTH, family="real")


CASES["minilm"] = build_minilm
