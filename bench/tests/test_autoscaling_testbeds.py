import json
import unittest

from autoscaling import testbed, facts, traffic
from autoscaling.kubernetes import collection

INPUTS = testbed.Inputs(b"model", "server:1", {"loadPercent": 75})


class Manifests(unittest.TestCase):
    def test_both_sides_serve_the_same_model_with_the_same_resources(self):
        reference = testbed._reference(INPUTS, testbed.SUBJECTS[1])
        for part in ("image: server:1", "requests: {cpu: 40m, memory: 128Mi}", "limits: {cpu: 160m, memory: 512Mi}", '"8"'):
            self.assertIn(part, reference)
        ours = json.loads(testbed._ours(INPUTS, testbed.SUBJECTS[0], None))["items"][1]["spec"]
        self.assertEqual(ours["server"]["resources"], testbed.RESOURCES)
        self.assertEqual(ours["server"]["batching"]["maxBatchRows"], 8)
        model = json.loads(reference.split("\n---\n")[0])["items"][0]["binaryData"]
        self.assertEqual(model, {"model.onnx": "bW9kZWw="})

    def test_the_reference_keeps_its_mistakes_and_nothing_is_left_to_fill_in(self):
        for subject, mistake in zip(testbed.SUBJECTS[1::2], ("type: Pods", 'deployment="model"')):
            text = testbed._reference(INPUTS, subject)
            self.assertEqual((subject.side, "${" in text), ("reference", False))
            self.assertIn(mistake, text)

    def test_a_spec_of_its_own_takes_the_place_of_ours(self):
        spec = {"replicas": 1, "autoscaling": {"engine": "None"}}
        ours = json.loads(testbed._ours(INPUTS, testbed.SUBJECTS[0], spec))["items"][1]["spec"]
        self.assertEqual((ours["replicas"], ours["autoscaling"]), (1, {"engine": "None"}))

    def test_a_behavior_stands_beside_the_rest(self):
        usual, eager = (
            json.loads(testbed._ours(INPUTS, testbed.SUBJECTS[0], behavior=behavior))["items"][1]["spec"]["autoscaling"]
            for behavior in (None, {"preset": "Aggressive"})
        )
        self.assertEqual(eager, usual | {"behavior": {"preset": "Aggressive"}})
        self.assertNotIn("behavior", usual)

    def test_names_of_beds_are_names_of_namespaces(self):
        for subject in testbed.SUBJECTS:
            self.assertRegex(f"bench-step-10-{subject.name}", r"^[a-z0-9-]{1,63}$")

    def test_paths_have_the_group_of_their_kind(self):
        self.assertEqual(collection("n", "pods"), "/api/v1/namespaces/n/pods")
        self.assertEqual(collection("n", "scaledobjects"), "/apis/keda.sh/v1alpha1/namespaces/n/scaledobjects")


class Facts(unittest.TestCase):
    def test_a_pod_that_is_going_is_not_ready(self):
        pod = {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        self.assertTrue(facts.of("pods", pod)["ready"])
        pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
        self.assertFalse(facts.of("pods", pod)["ready"])

    def test_an_autoscaler_without_readings_has_none(self):
        # The HPA controller writes an empty metric if it could not read it.
        status = {"currentMetrics": [{"type": ""}], "desiredReplicas": 2}
        self.assertEqual(facts.of("horizontalpodautoscalers", {"status": status})["readings"], [])
        self.assertEqual(facts.of("horizontalpodautoscalers", {})["desired"], 0)

    def test_readings_have_their_names_and_values(self):
        metrics = [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 70, "averageValue": "7m"}}},
            {"type": "Pods", "pods": {"metric": {"name": "springtide_load_percent"}, "current": {"averageValue": "80"}}},
            {"type": "External", "external": {"metric": {"name": "s0-prometheus"}, "current": {"value": "90"}}},
        ]
        read = facts.of("horizontalpodautoscalers", {"status": {"currentMetrics": metrics}})["readings"]
        self.assertEqual([each["value"] for each in read], ["70", "80", "90"])

    def test_a_condition_of_a_former_generation_is_not_current(self):
        condition = {"type": "AutoscalingReady", "status": "True", "reason": "Scaling", "observedGeneration": 1}
        service = {"metadata": {"generation": 2}, "status": {"conditions": [condition]}}
        found = facts.of("modelservices", service)
        self.assertEqual((found["conditions"], found["current"]), ({"AutoscalingReady": "True Scaling"}, {"AutoscalingReady": False}))


class Traffic(unittest.TestCase):
    def test_as_many_users_as_the_rate_of_predictions_needs(self):
        # A user sends a request every five seconds, and ten of eleven are predictions.
        self.assertEqual(traffic.users(100), 550)
        self.assertEqual(traffic.plan([(0, 100), (10, 200)], 20), [[0, 550], [10, 1100], [20, 0]])
