//! The HPA as the API server stores it. The suite on a cluster tests that it reads the load.

use std::time::Duration;

use serde_json::json;
use springtide_e2e::contract::{behavior, utilization};
use springtide_e2e::json::{merge, same};
use springtide_e2e::testbed::{Company, Failure, in_namespace};
use springtide_e2e::{example, kind};

/// Maximum time until the operator has created it.
const MADE_LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn every_field_of_the_hpa_can_be_overridden() -> Result<(), Failure> {
    in_namespace("hpa-fields", Company::Welcome, async |testbed| {
        let overrides = json!({"spec": {"autoscaling": {
            "minReplicas": 1,
            "maxReplicas": 3,
            "targets": {"cpuUtilizationPercent": 55, "memoryUtilizationPercent": 90},
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 30},
                "scaleDown": {"selectPolicy": "Min", "policies": [
                    {"type": "Pods", "value": 1, "periodSeconds": 120},
                    {"type": "Percent", "value": 50, "periodSeconds": 90},
                ]},
            },
        }}});
        let name = testbed
            .serve(&example::manifest("iris", &overrides)?)
            .await?;
        // Unset fields have their documented defaults.
        let mut expected = behavior();
        merge(&mut expected, &overrides["spec"]["autoscaling"]["behavior"]);
        let stored = testbed
            .until_there(kind::AUTOSCALER, &name, MADE_LIMIT)
            .await?;
        same("behavior", &stored["spec"]["behavior"], &expected)?;
        same(
            "metrics",
            &stored["spec"]["metrics"],
            &json!([utilization("cpu", 55), utilization("memory", 90)]),
        )?;
        same(
            "replicas",
            &json!([stored["spec"]["minReplicas"], stored["spec"]["maxReplicas"]]),
            &json!([1, 3]),
        )
    })
    .await
}
