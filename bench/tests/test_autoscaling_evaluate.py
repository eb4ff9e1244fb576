import unittest

from autoscaling import evaluate
from autoscaling.scenarios import drop, noise, outage, step, switch
from tests import autoscaling_records as records


class Replicas(unittest.TestCase):
    def test_up_and_further_up_is_no_change_of_direction_down_is_one_and_up_again_another(self):
        for points, count in (([2], 0), ([2, 3, 5], 0), ([2, 3, 3, 2], 1), ([2, 3, 2, 4], 2)):
            with self.subTest(points):
                self.assertEqual(evaluate.changes_of_direction(list(enumerate(points))), count)

    def test_what_holds_when_a_span_begins_counts(self):
        points = [[0, 4], [10, 2], [20, 5]]
        self.assertEqual(evaluate.within(points, 5, 15), [[5, 4], [10, 2]])
        self.assertEqual(evaluate.fewest(points, 11, 19), 2)
        self.assertEqual(evaluate.fewest(points, 21, 30), 5)

    def test_one_pod_a_minute_is_slow_enough_whatever_a_tenth_is(self):
        slowly = [[310, 4, 3], [370, 3, 2]]
        self.assertLessEqual(evaluate.fastest_minute(slowly), 0)
        self.assertEqual(evaluate.fastest_minute([[310, 4, 3], [325, 3, 2]]), 1)
        self.assertEqual(evaluate.fastest_minute([[310, 30, 27]]), 0)
        self.assertEqual(evaluate.fastest_minute([[310, 30, 26]]), 1)
        self.assertLessEqual(evaluate.fastest_minute([]), 0)

    def test_pod_seconds_count_every_pod_for_its_time(self):
        self.assertEqual(evaluate.pod_seconds(records.step(), 100, 120), 12 * 2 + 8 * 4)


class Step(unittest.TestCase):
    def test_the_time_to_the_first_new_pod_splits_without_a_gap(self):
        stages = evaluate.stages(records.step(), 75)
        # 165 % is the most at which two pods with a target of 75 % and the HPA's tolerance cause no scale-up.
        expected = {"scrape": 3, "window": 4, "sync": 5, "schedule": 1, "start": 4, "ready": 3, "total": 20}
        self.assertEqual(stages, expected)
        self.assertEqual(sum(stages.values()) - stages["total"], stages["total"])

    def test_without_a_signal_of_prometheus_all_until_the_decision_is_the_autoscalers(self):
        stages = evaluate.stages(records.step(), None)
        self.assertEqual(stages["sync"], 12)
        self.assertEqual(stages["total"], 20)

    def test_no_new_pod_is_no_time(self):
        record = records.step()
        record["changes"] = [change for change in record["changes"] if not change["name"].startswith("new")]
        self.assertIsNone(evaluate.stages(record, 75))

    def test_late_answers_and_failures_are_missed_and_count_once(self):
        self.assertEqual(evaluate.misses(records.step(), 100, 140), {"requests": 40, "failed": 5, "missed": 20})

    def test_a_share_is_of_what_arrived_just_before_its_time_is_up_by_the_pods_that_shared(self):
        # new-1 is ready at 120: from 135 to 150 it got 300 of 1,000 arrivals of four pods. The period of
        # new-2 ends after its last sample.
        record = records.step()
        record["end"] = 155
        self.assertEqual(list(evaluate.shares(record)), ["new-1"])
        self.assertAlmostEqual(evaluate.shares(record)["new-1"], 300 / 1000 * 4)

    def test_a_pod_that_goes_again_has_no_share_of_what_it_never_was_there_for(self):
        record = records.step()
        self.assertEqual(evaluate._growth([[140, 5], [150, 9]], 135, 150), 9)
        self.assertEqual(evaluate._growth([], 135, 150), 0)
        self.assertNotIn("old-1", evaluate.shares(record))

    def test_the_figures_of_a_step_are_of_its_own_seconds(self):
        figures = step.judge(records.step(), 30, 75)
        self.assertEqual((figures["requests"], figures["most_pods"]), (30, 4))
        self.assertIn("window", figures["stages"])
        self.assertNotIn("window", step.judge(records.step("reference-hpa"), 30, 75)["stages"])


class OtherScenarios(unittest.TestCase):
    def test_noise_is_judged_after_the_load_has_settled(self):
        record = records.step() | {"changes": [records.deployment(50, 2), records.deployment(112, 4), records.deployment(140, 3)]}
        self.assertEqual(noise.judge(record, 20)["changes_of_direction"], 0)
        self.assertEqual(noise.judge(record, 5)["changes_of_direction"], 1)

    def test_the_noise_is_the_same_each_time_and_within_its_bounds(self):
        rates = noise.rates(90, 900, 100)
        self.assertEqual(rates, noise.rates(90, 900, 100))
        self.assertEqual((rates[0], len(rates)), ((0, 100), 91))
        self.assertTrue(all(80 <= rate <= 120 for _, rate in rates))
        self.assertGreater(max(rate for _, rate in rates) - min(rate for _, rate in rates), 30)

    def test_steps_down_count_from_the_last_request(self):
        changes = [records.deployment(50, 4), records.deployment(480, 3), records.deployment(545, 2)]
        figures = drop.judge(records.step() | {"changes": changes})
        self.assertEqual(figures["steps"], [[315, 4, 3], [380, 3, 2]])
        self.assertEqual(figures["pods_at_the_end_of_the_load"], 4)

    def test_a_pod_that_is_lost_without_prometheus_is_seen_and_when_the_condition_told(self):
        healthy, unhealthy = {"MetricsHealthy": "True Readings"}, {"MetricsHealthy": "False FallbackActive"}
        changes = [
            records.deployment(50, 4),
            records.seen(60, "modelservices", "model", conditions=healthy, current={}),
            records.seen(138, "modelservices", "model", conditions=unhealthy, current={}),
            records.deployment(140, 3),
            records.seen(158, "modelservices", "model", conditions=healthy, current={}),
        ]
        figures = outage.judge(records.step() | {"changes": changes, "killed": 120, "returned": 150})
        self.assertEqual((figures["pods_before"], figures["fewest_pods"]), (4, 3))
        self.assertEqual((figures["unhealthy_after"], figures["healthy_again_after"]), (18, 8))

    def test_two_autoscalers_at_a_time_are_seen_and_kedas_own_hpa_is_none_more(self):
        def there(at, plural, name):
            return records.seen(at, plural, name, conditions={})

        def gone(at, plural, name):
            return records.seen(at, plural, name)

        hpas, objects = "horizontalpodautoscalers", "scaledobjects"
        keda = [there(2, objects, "model"), there(3, hpas, "keda-hpa-model")]
        self.assertEqual(switch.most_autoscalers([there(0, hpas, "model"), gone(1, hpas, "model"), *keda]), 1)
        self.assertEqual(switch.most_autoscalers([there(0, hpas, "model"), *keda]), 2)

    def test_a_switch_is_judged_by_the_pods_from_its_begin_to_some_seconds_after_its_end(self):
        changes = [records.deployment(50, 4), records.deployment(108, 3)]
        record = records.step() | {"changes": changes, "switches": [{"to": "KEDA", "begin": 101, "end": 104}]}
        figures = switch.judge(record)["switches"][0]
        self.assertEqual((figures["pods_before"], figures["fewest_pods"], figures["seconds"]), (4, 3, 3))


class Curves(unittest.TestCase):
    def test_times_are_since_the_load_began(self):
        curves = evaluate.curves(records.step())
        self.assertEqual(curves["wanted"], [[-10, 2], [12, 4]])
        self.assertEqual(curves["pods"], [[-5, 2], [30, 4]])
