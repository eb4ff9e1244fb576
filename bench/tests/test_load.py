import unittest

from harness import load, process

RESULT = (
    'RESULT {"requests": 900, "seconds": 2.0, "p50_ms": 1.5, "p99_ms": 3.0, "max_ms": 9.0,'
    ' "refused": 100, "broken": 0}'
)


class Closed(unittest.TestCase):
    def test_refused_requests_are_no_rate(self):
        result = load.read_closed(f"Running 2s test\n{RESULT}\n")
        self.assertEqual((result.rate, result.refused, result.p99_ms), (400, 100, 3.0))

    def test_output_without_a_result_is_a_failure(self):
        with self.assertRaisesRegex(process.Failed, "unable to connect"):
            load.read_closed("unable to connect to 127.0.0.1:1 Connection refused\n")


class Attack(unittest.TestCase):
    def test_answers_are_read_from_vegetas_columns(self):
        lines = "1000000000,200,500000000,10,20,,,x,0,POST,http://127.0.0.1/,\n2000000000,429,1000000,10,20,,,x,1,POST,http://127.0.0.1/,\n"
        expected = [load.Answer(0.5, 500, 200), load.Answer(1.001, 1, 429)]
        self.assertEqual(load.read_answers(lines), expected)

    def test_a_rate_does_not_depend_on_where_in_a_burst_its_window_ends(self):
        # 32 responses within a millisecond every 0.4 s are 80 per second.
        bursts = [load.Answer(0.4 * burst + place / 32_000, 1, 200) for burst in range(30) for place in range(32)]
        for begin in (2.0, 2.1, 2.3):
            self.assertAlmostEqual(load.steady_rate(bursts, begin, begin + 8), 80, delta=1)

    def test_only_successes_are_a_rate(self):
        answers = [load.Answer(number / 100, 1, 200 if number % 2 else 429) for number in range(1000)]
        self.assertAlmostEqual(load.steady_rate(answers, 0, 10), 50, delta=0.1)
        with self.assertRaises(process.Failed):
            load.steady_rate([load.Answer(1, 1, 503)], 0, 10)
