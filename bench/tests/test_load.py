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
