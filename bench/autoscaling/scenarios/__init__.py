"""The scenarios, in the order in which they run."""

from autoscaling.scenarios import drop, noise, outage, step, switch

#: One after the other: two loads at a time are more than two processors can do.
ALL = [step.SCENARIO, noise.SCENARIO, outage.SCENARIO, drop.SCENARIO, switch.SCENARIO]
