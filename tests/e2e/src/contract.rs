//! Expected autoscalers. They are written by hand, and not derived from the code under test.

use serde_json::{Value, json};

/// Up at once, by the larger of 100 % and 4 pods each 15 s; down after 5 minutes, by 10 % each minute.
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

/// A metric of an HPA: a resource of the server container, in percent of its request.
#[must_use]
pub fn utilization(resource: &str, percent: i64) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!({"type": "ContainerResource", "containerResource": {"name": resource, "container": "server", "target": target}})
}
