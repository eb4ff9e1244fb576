import unittest

from harness import thresholds, report


def run(rate, p50, p99):
    return {"rate": rate, "p50_ms": p50, "p99_ms": p99, "max_ms": p99, "requests": rate, "refused": 0, "broken": 0}


def cells(*runs):
    return {str(connections): list(runs) for connections in (1, 8, 64)}


def results(**changes):
    """Results that meet every threshold, with changes."""
    peers = [
        {"name": name, "title": name.title(), "role": role, "version": "1.0", "setup": "So.", "docs": ["https://example.com"]}
        for name, role in (("springtide", "ours"), ("constant", "floor"), ("fastapi", "reference"), ("rival", "rival"))
    ]
    overload = {"peak": 80, "rate": 240, "goodput": 79, "accepted_p99_ms": 900, "refused_p99_ms": 2, "statuses": {"200": 9}}
    everything = {
        "started": "2026-01-02T03:04:05+00:00",
        "machine": {
            "processor": "P", "processors": 2, "processors_used": 2, "memory_gib": 8, "kernel": "6.1", "system": "Debian",
            "python": "3.11", "busy_before": 0.01,
        },
        "settings": {"rounds": 2, "seconds": 4, "profile": "dist"},
        "versions": {"checkout": "abc", "wrk": "4.1", "vegeta": "v12"},
        "peers": peers,
        "missing": {},
        "iris": {
            "springtide": cells(run(50_000, 0.1, 0.5), run(25_000, 0.2, 1.0)),
            "constant": cells(run(70_000, 0.1, 0.5), run(35_000, 0.2, 1.0)),
            "fastapi": cells(run(400, 60, 70), run(200, 120, 140)),
            "rival": cells(run(9_000, 1, 2), run(4_500, 2, 4)),
        },
        "lone": {"rounds": [{"direct": {"p50_ms": 0.01}, "served": {"p50_ms": 0.1}}]},
        "minilm": {
            "scan": [{"layout": "one session", "rows": 4, "rows_per_second": 80.0}],
            "best": {"layout": "one session", "rows": 4, "rows_per_second": 80.0},
            "alike": "--workers 1 --max-batch-size 4",
            "rounds": [{"direct": 80.0, "served": 78.0, "served_alike": 79.0}],
        },
        "overload": {"deadline_ms": 1000, "setups": {"the server's defaults": [overload], "--workers 2": [overload]}},
        "start": {"starts_ms": [90, 100, 120], "idle_bytes": 30e6},
        "image": {"program_bytes": 3e6, "library_bytes": 8e6, "base_bytes": 9e6},
        "soak": [{"requests": 10, "bytes": 100}, {"requests": 100, "bytes": 101}],
        "soak-texts": [{"requests": 10, "bytes": 100}, {"requests": 100, "bytes": 101}],
    }
    return everything | changes


def verdicts(results):
    return {threshold.name: threshold.met for threshold in thresholds.table(results)}


class Bars(unittest.TestCase):
    def test_what_reaches_every_bar_meets_every_bar(self):
        table = thresholds.table(results())
        self.assertEqual([threshold.name for threshold in table if not threshold.met], [])
        self.assertTrue(thresholds.is_complete(table))

    def test_ratios_are_of_one_round_whatever_the_machine_did_between_rounds(self):
        table = {threshold.name: threshold for threshold in thresholds.table(results())}
        threshold = table["iris, 64 connections: requests/s relative to FastAPI"]
        self.assertEqual((threshold.figure, threshold.spread), ("125×", "125× to 125×"))

    def test_each_bar_can_be_missed(self):
        worse = run(1, 1000, 1000)
        overload = {"peak": 80, "rate": 240, "goodput": 70, "accepted_p99_ms": 1100, "refused_p99_ms": 6, "statuses": {}}
        slow = results()["iris"] | {"springtide": cells(worse, worse)}
        missed = results(
            iris=slow,
            lone={"rounds": [{"direct": {"p50_ms": 0.01}, "served": {"p50_ms": 0.2}}]},
            minilm=results()["minilm"] | {"rounds": [{"direct": 80.0, "served": 75.0, "served_alike": 75.0}]},
            overload={"deadline_ms": 1000, "setups": {"the server's defaults": [overload]}},
            start={"starts_ms": [160], "idle_bytes": 81e6},
            image={"program_bytes": 43e6, "library_bytes": 8e6, "base_bytes": 9e6},
            **{name: [{"requests": 10, "bytes": 100}, {"requests": 100, "bytes": 105}] for name in ("soak", "soak-texts")},
        )
        self.assertEqual([name for name, met in verdicts(missed).items() if met is not False], [])

    def test_what_was_not_measured_is_said_to_be_so_with_the_reason(self):
        incomplete = results(missing={"rival": "it does not start"})
        del incomplete["iris"]["rival"], incomplete["soak"], incomplete["soak-texts"]
        table = thresholds.table(incomplete)
        self.assertFalse(thresholds.is_complete(table))
        why = {threshold.name: threshold.note for threshold in table if threshold.met is None}
        self.assertEqual(why["iris, 1, 8 and 64 connections: requests/s relative to Rival"], "it does not start")
        self.assertEqual(sum(note == thresholds.NOT_ASKED_FOR for note in why.values()), 2)

    def test_an_image_without_a_measured_base_has_no_size(self):
        image = {"program_bytes": 3e6, "library_bytes": 8e6, "base_bytes": None}
        self.assertIsNone(verdicts(results(image=image))["image on CPU, compressed"])


class Report(unittest.TestCase):
    def test_a_terminal_shows_every_bar_and_the_sum(self):
        text = report.terminal(results())
        for threshold in thresholds.table(results()):
            self.assertIn(threshold.name, text)
        self.assertIn("thresholds met, 0 missed\n", text)

    def test_the_page_has_the_figures_the_setups_and_the_machine(self):
        page = report.markdown(results())
        for part in ("| Rival 1.0 | 6,750 (4,500 to 9,000) |", "2 × P", "[[1]](https://example.com)", "## MiniLM"):
            self.assertIn(part, page)

    def test_the_page_of_a_part_says_what_is_missing(self):
        part = results(missing={"rival": "it does not start"})
        for name in ("iris", "minilm", "overload"):
            del part[name]
        page = report.markdown(part)
        self.assertIn("Not measured: it does not start.", page)
        self.assertIn("incomplete", page)
