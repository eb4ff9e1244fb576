import re
import unittest

from autoscaling import pages
from harness import places

PAGE = (places.REPOSITORY / "docs" / "autoscaling.md").read_text(encoding="utf-8")


def flat(path):
    """A file of this repository without its line breaks."""
    return " ".join((places.REPOSITORY / path).read_text(encoding="utf-8").split())


def in_full(query, pieces):
    """A query of the page with its named parts inserted."""
    while call := re.search(rf"\b({'|'.join(pieces)})\(", query):
        parameter, piece = pieces[call[1]]
        end, depth = call.end(), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(query[end], 0)
            end += 1
        argument = query[call.end() : end - 1]
        query = query[: call.start()] + re.sub(rf"\b{parameter}\b", lambda _: argument, piece) + query[end:]
    for name, meaning in {
        "{…}": '{namespace="default",pod=~"digits-tuned-[a-z0-9]{1,10}-[a-z0-9]{5}",'
        'modelservice="digits-tuned",modelservice_namespace="default"}',
        "[w]": "[60s]",
        "- w": "- 60",
        "(SAME)": "(job, instance, namespace, pod)",
    }.items():
        query = query.replace(name, meaning)
    return query


class Page(unittest.TestCase):
    def test_its_queries_are_those_that_the_operator_writes(self):
        # The golden output of the example that sets every field.
        written = flat("crates/plan/tests/golden/all-fields.every-field-reaches-its-object.yaml")
        written = re.sub(r"\(\d+ \* count\(", "(TARGET * count(", written)
        queries = re.findall(r"^\| `\w+` \| `(.*)` \|$", PAGE, re.MULTILINE)
        self.assertEqual(len(queries), 5)
        named = re.findall(r"^\| `([A-Z_]+)\((\w)\)`.* \| `(.*)` \|$", PAGE, re.MULTILINE)
        pieces = {name: (parameter, piece) for name, parameter, piece in named}
        for query in queries:
            with self.subTest(query):
                self.assertIn(f"query: >- {in_full(query, pieces)} serverAddress:", written)

    def test_it_names_every_target_and_engine_and_preset_of_the_reference(self):
        reference = flat("docs/reference/modelservice.md")
        targets = set(re.findall(r"`spec\.autoscaling\.targets\.(\w+)`", reference))
        self.assertEqual(targets, set(re.findall(r"^\| `(\w+)`.*\| .*\| ⌈", PAGE, re.MULTILINE)))
        for field in ("engine", "behavior.preset"):
            words = re.search(rf"\| `spec\.autoscaling\.{re.escape(field)}` \| (.*?) \|", reference)[1]
            for word in re.findall(r"`(\w+)`", words):
                self.assertIn(f"| `{word}`", PAGE)

    def test_pods_metrics_have_the_names_of_the_adapters_rules(self):
        rules = flat("examples/prometheus-adapter.values.yaml")
        named = re.findall(r"Pods metric `(\w+)`", PAGE)
        self.assertEqual(sorted(named), sorted(re.findall(r"name: \{as: (\w+)\}", rules)))

    def test_its_links_lead_somewhere(self):
        text = PAGE.split(pages._BEGIN)[0]
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", text):
            with self.subTest(target):
                self.assertTrue((places.REPOSITORY / "docs" / target).exists())
