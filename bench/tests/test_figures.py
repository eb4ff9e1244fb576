import unittest

from harness.figures import Figure, percentile, ratios


class Figures(unittest.TestCase):
    def test_a_figure_is_the_median_with_its_extremes(self):
        self.assertEqual(Figure.of([3, 1, 2]), Figure(2, 1, 3, 3))

    def test_ratios_are_of_the_runs_of_one_round(self):
        # A machine that is half as fast in the second round changes no ratio.
        self.assertEqual(ratios([20, 10], [2, 1]), Figure(10, 10, 10, 2))

    def test_runs_without_a_counterpart_are_an_error(self):
        with self.assertRaises(ValueError):
            ratios([1, 2], [1])

    def test_percentiles_are_of_the_nearest_rank(self):
        hundred = range(1, 101)
        self.assertEqual([percentile(hundred, percent) for percent in (50, 99, 100)], [50, 99, 100])
        self.assertEqual(percentile([7], 99), 7)
        self.assertEqual(percentile([1, 2, 3], 99), 3)
