"""The scenarios, in groups of those that run beside each other."""

from autoscaling.scenarios import drop, noise, outage, step, switch

#: Each by itself: two loads at a time are more than two processors can do.
GROUPS = [[step.SCENARIO], [noise.SCENARIO], [outage.SCENARIO], [drop.SCENARIO], [switch.SCENARIO]]

ALL = [scenario for group in GROUPS for scenario in group]
