"""The scenarios, in groups of those that run beside each other."""

from autoscaling.scenarios import drop, noise, outage, step, switch

#: The switches have their load while it is quiet elsewhere.
GROUPS = [[step.SCENARIO], [noise.SCENARIO], [outage.SCENARIO], [drop.SCENARIO, switch.SCENARIO]]

ALL = [scenario for group in GROUPS for scenario in group]
