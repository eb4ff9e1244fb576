import struct
import unittest

from harness import models
from harness.experiments import minilm, soak
from harness.load import Answer


class Overload(unittest.TestCase):
    def test_what_is_accepted_and_what_is_refused_are_judged_apart(self):
        # After the first three seconds, which don't count: 50 successes and 100 rejections per second.
        answers = [Answer(1, 9_000, 504)]
        answers += [Answer(3 + number / 50, 900, 200) for number in range(400)]
        answers += [Answer(3 + number / 100, 2, 429) for number in range(800)]
        judged = minilm.judge(answers, peak=50, rate=150, seconds=11)
        self.assertAlmostEqual(judged["goodput"], 50, delta=0.1)
        self.assertEqual((judged["accepted_p99_ms"], judged["refused_p99_ms"]), (900, 2))
        self.assertEqual(judged["statuses"], {"200": 400, "429": 800, "504": 1})

    def test_no_rejection_is_no_time(self):
        answers = [Answer(3 + number / 50, 900, 200) for number in range(400)]
        self.assertIsNone(minilm.judge(answers, peak=50, rate=150, seconds=11)["refused_p99_ms"])


class Soak(unittest.TestCase):
    def test_growth_is_counted_from_the_first_tenth(self):
        sizes = [(50, 80), (100, 100), (500, 104), (1000, 103)]
        readings = [{"requests": requests, "bytes": size} for requests, size in sizes]
        self.assertAlmostEqual(soak.growth(readings), 0.04)

    def test_a_short_run_counts_from_its_first_reading(self):
        readings = [{"requests": requests, "bytes": size} for requests, size in [(400, 100), (1000, 110)]]
        self.assertAlmostEqual(soak.growth(readings), 0.1)


class Texts(unittest.TestCase):
    def test_shorter_texts_are_padded_and_masked(self):
        tensors = models.minilm_tensors([1, 3])
        self.assertEqual(tensors["attention_mask"], [[1, 0, 0], [1, 1, 1]])
        self.assertEqual([len(row) for row in tensors["input_ids"]], [3, 3])
        self.assertEqual(tensors["input_ids"][0][1:], [0, 0])

    def test_a_request_has_8_bytes_for_each_token_of_three_tensors(self):
        request = minilm._request()
        self.assertEqual(len(request.body) - request.header_length, 3 * models.MINILM_TOKENS * struct.calcsize("<q"))
