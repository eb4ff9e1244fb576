"""ONNX Runtime in Triton's Python backend."""

import os

import numpy
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["INTRA_OP_THREADS"])
        self._session = onnxruntime.InferenceSession(
            os.environ["MODEL_PATH"], options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests):
        inputs = [triton.get_input_tensor_by_name(request, "features").as_numpy() for request in requests]
        labels, probabilities = self._session.run(
            ["label", "probabilities"], {"features": numpy.concatenate(inputs)}
        )
        responses, start = [], 0
        for rows in inputs:
            end = start + len(rows)
            outputs = [
                triton.Tensor("label", labels[start:end].reshape(-1, 1)),
                triton.Tensor("probabilities", probabilities[start:end]),
            ]
            responses.append(triton.InferenceResponse(output_tensors=outputs))
            start = end
        return responses
