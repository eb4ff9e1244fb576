import json
import unittest
import xml.etree.ElementTree

from autoscaling import thresholds, charts, evaluate, pages, report
from tests import autoscaling_records as records

RUN = {
    "started": "2026-01-02T03:04:05+00:00",
    "checkout": "abc",
    "capacity": 30.0,
    "targets": {"loadPercent": 75},
    "machine": {"processor": "P", "processors": 2, "memory_gib": 8, "busy_before": 0.1},
    "cluster": "v1.36.3",
}


def round_of(total, missed=40, shares=(0.9, 1.1)):
    stages = {"scrape": 3, "window": 5, "sync": 6, "schedule": 1, "start": 2, "ready": 3, "total": total}
    return {
        "stages": stages, "requests": 1000, "failed": 3, "missed": missed, "shares": list(shares), "most_pods": 6, "pod_seconds": 300.0,
    }


def results(**changes):
    """Results that meet every threshold, with changes."""
    curves = evaluate.curves(records.step())
    both = lambda figures: {"springtide-hpa": figures, "springtide-keda": figures}
    drawn = {name: curves for name in both(None)}
    switches = [{"to": "KEDA", "seconds": 6.0, "pods_before": 3, "fewest_pods": 3}]
    everything = {
        "step": {
            "run": RUN,
            "seconds": 75,
            "rounds": {
                **both([round_of(20), round_of(25), round_of(22)]),
                "reference-hpa": [round_of(50, 400), round_of(45, 500), round_of(55, 600)],
                "reference-keda": [round_of(20, 900) | {"stages": None}] * 3,
            },
            "curves": drawn | {"reference-hpa": curves, "reference-keda": curves},
        },
        "noise": {
            "run": RUN, "seconds": 900, "settle": 90, "curves": drawn,
            "subjects": both({"changes_of_direction": 1, "least_pods": 3, "most_pods": 4}),
        },
        "outage": {
            "run": RUN, "seconds": 300, "preset": "Aggressive", "curves": drawn,
            "subjects": both(
                {"pods_before": 4, "fewest_pods": 4, "unhealthy_after": 40.0, "killed_at": 20, "returned_at": 40}
            ),
        },
        "drop": {
            "run": RUN, "seconds": 450, "curves": drawn,
            "subjects": both({"steps": [[310.0, 4, 3], [371.0, 3, 2]], "too_many_in_a_minute": 0, "load_seconds": 60}),
        },
        "switch": {
            "run": RUN, "curves": {"springtide-hpa": curves},
            "subjects": {"springtide-hpa": {"switches": switches, "most_autoscalers": 1, "requests": 9000, "failed": 0}},
        },
    }
    return everything | changes


def verdicts(results):
    return {threshold.name: threshold.met for threshold in thresholds.table(results)}


class Bars(unittest.TestCase):
    def test_what_reaches_every_bar_meets_every_bar(self):
        self.assertEqual([threshold.name for threshold in thresholds.table(results()) if not threshold.met], [])

    def test_each_bar_can_be_missed(self):
        worse = results()
        worse["step"] = worse["step"] | {"rounds": {
            name: [round_of(65, 400, (0.4,))] if name.startswith("springtide") else [round_of(50, 500)] for name in worse["step"]["rounds"]
        }}
        changes = {
            "noise": {"changes_of_direction": 2, "least_pods": 2, "most_pods": 4},
            "outage": {"pods_before": 4, "fewest_pods": 3, "unhealthy_after": None},
            "drop": {"steps": [[284.0, 4, 3], [300.0, 3, 2]], "too_many_in_a_minute": 1},
            "switch": {
                "switches": [{"to": "KEDA", "seconds": 31.0, "pods_before": 3, "fewest_pods": 2}],
                "most_autoscalers": 2, "requests": 9000, "failed": 1,
            },
        }
        for scenario, figures in changes.items():
            worse[scenario] = worse[scenario] | {"subjects": {name: figures for name in worse[scenario]["subjects"]}}
        self.assertEqual([name for name, met in verdicts(worse).items() if met is not False], [])

    def test_a_first_step_down_may_be_one_sync_early(self):
        for at, met in ((284.9, False), (285.0, True), (300.0, True)):
            early = results()
            early["drop"]["subjects"]["springtide-hpa"] = {"steps": [[at, 4, 3]], "too_many_in_a_minute": 0}
            threshold = next(threshold for threshold in thresholds.table(early) if threshold.name == "HPA: load falls to zero: first step down")
            self.assertEqual(threshold.met, met, at)

    def test_a_step_without_any_new_pod_misses_its_bar(self):
        never = results()
        never["step"]["rounds"]["springtide-hpa"] = [round_of(20) | {"stages": None}] * 3
        threshold = next(threshold for threshold in thresholds.table(never) if threshold.name.startswith("HPA: step"))
        self.assertEqual((threshold.met, threshold.figure), (False, "never, never"))

    def test_p95_of_a_few_rounds_is_the_slowest(self):
        slow = results()
        slow["step"]["rounds"]["springtide-keda"] = [round_of(20), round_of(21), round_of(61)]
        threshold = next(threshold for threshold in thresholds.table(slow) if threshold.name.startswith("KEDA: step"))
        self.assertEqual((threshold.met, threshold.figure), (False, "21 s, 61 s"))

    def test_what_was_not_measured_is_said_to_be_so(self):
        self.assertEqual(set(verdicts({}).values()), {None})
        self.assertEqual(len(verdicts({})), len(verdicts(results())))


class Report(unittest.TestCase):
    def test_a_terminal_shows_every_bar_and_the_sum(self):
        text = report.terminal(results())
        for threshold in thresholds.table(results()):
            self.assertIn(threshold.name, text)
        self.assertIn("thresholds met, 0 missed\n", text)

    def test_the_page_has_the_split_the_reference_and_the_plots(self):
        page = report.markdown(results())
        for part in ("| Springtide, HPA |", "| total | 22.0 | 50.0 | 22.0 | – |", "autoscaling/outage.svg", "preset: Aggressive", "2 × P", "Kubernetes 1.36.3"):
            self.assertIn(part, page)

    def test_parts_that_were_measured_again_say_so(self):
        later = results()
        later["noise"] = later["noise"] | {"run": RUN | {"started": "2026-01-03T00:00:00+00:00", "checkout": "def", "capacity": 33.0}}
        page = report.markdown(later)
        self.assertIn("2 runs", page)
        self.assertIn("2026-01-02 and 2026-01-03 at commit abc, def", page)

    def test_only_the_generated_part_of_the_page_changes(self):
        page = f"# Title\n\n{pages._BEGIN}\nold\n{pages._END}\n\nrest\n"
        filled = pages.filled(page, "new")
        self.assertEqual(filled, f"# Title\n\n{pages._BEGIN}\n\nnew\n{pages._END}\n\nrest\n")
        self.assertEqual(pages.filled(filled, "new"), filled)


class Charts(unittest.TestCase):
    def test_every_scenario_has_a_plot_and_the_same_results_the_same_bytes(self):
        # Results are read from JSON, where pairs are lists.
        for name, result in json.loads(json.dumps(results())).items():
            with self.subTest(name):
                plot = pages.plot(name, result)
                self.assertEqual(plot, pages.plot(name, results()[name]))
                xml.etree.ElementTree.fromstring(plot)

    def test_every_subject_has_a_line_for_each_quantity(self):
        tree = xml.etree.ElementTree.fromstring(pages.plot("step", results()["step"]))
        lines = [element for element in tree.iter() if element.tag.endswith("polyline")]
        # Four subjects: desired, pods (two distant points are one line), rate, queue, p95.
        self.assertEqual(len(lines), 4 * 5)

    def test_where_nothing_was_recorded_nothing_is_drawn(self):
        points = [[0, 1], [5, 1], [10, 1], [300, 2], [305, 2]]
        self.assertEqual([len(piece) for piece in charts._pieces(points)], [3, 2])

    def test_axes_end_at_round_numbers(self):
        self.assertEqual([charts._round_up(value) for value in (1, 7, 11, 600, 0.4)], [1, 8, 15, 600, 0.4])
