import json
import struct
import unittest

from harness import protocols


class Protocols(unittest.TestCase):
    def test_the_contract_takes_one_row_or_a_list_of_them(self):
        self.assertEqual(json.loads(protocols.contract([[1, 2]]).body), {"features": [1, 2]})
        self.assertEqual(json.loads(protocols.contract([[1], [2]]).body), {"features": [[1], [2]]})
        self.assertEqual(protocols.contract_classes(b'{"prediction": 2}'), [2])
        self.assertEqual(protocols.contract_classes(b'{"prediction": [2, 0]}'), [2, 0])

    def test_open_inference_flattens_rows_and_reads_probabilities(self):
        tensor = json.loads(protocols.open_inference([[1, 2], [3, 4]]).body)["inputs"][0]
        self.assertEqual((tensor["shape"], tensor["data"]), ([2, 2], [1, 2, 3, 4]))
        answer = {"outputs": [{"name": "probabilities", "shape": [2, 3], "data": [0.1, 0.7, 0.2, 0.6, 0.3, 0.1]}]}
        self.assertEqual(protocols.open_inference_classes(json.dumps(answer)), [1, 0])

    def test_furnace_answers_probabilities(self):
        self.assertEqual(protocols.furnace_classes(b'{"output": [0.1, 0.2, 0.7]}'), [2])

    def test_binary_tensors_follow_a_header_that_says_their_sizes(self):
        request = protocols.open_inference_binary({"a": [[1, 2]], "b": [[3]]})
        header = json.loads(request.body[: request.header_length])
        self.assertEqual([tensor["parameters"]["binary_data_size"] for tensor in header["inputs"]], [16, 8])
        self.assertEqual(struct.unpack("<3q", request.body[request.header_length :]), (1, 2, 3))
        self.assertEqual(request.headers()["Inference-Header-Content-Length"], str(request.header_length))
