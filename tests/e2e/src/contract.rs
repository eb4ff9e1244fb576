//! What autoscalers must be by the contract, for tests to compare with: written down here by hand, and not taken
//! from the code under test.

use serde_json::{Value, json};

/// Up by the larger of 100 % and 4 pods each 15 s at once, down by 10 % a minute after 5 minutes.
#[must_use]
pub fn behavior() -> Value {
    json!({
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15},
                {"type": "Pods", "value": 4, "periodSeconds": 15},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
        },
    })
}

/// A metric of an HPA: a resource that the server alone uses, in percent of its request.
#[must_use]
pub fn utilization(resource: &str, percent: i64) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!({"type": "ContainerResource", "containerResource": {"name": resource, "container": "server", "target": target}})
}
