//! Other controllers that write the objects of a ModelService: KEDA, the controller of HorizontalPodAutoscalers, and
//! an adapter of the custom metrics API.

use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use serde_json::{Value, json};
use springtide_api::targets::Signal;
use springtide_plan::keda::ScaledObject;
use springtide_testkit::{Aggregated, FakeApi, ResourceType};

use crate::support::{NAME, NAMESPACE};

/// Name of the HPA that KEDA creates.
pub(crate) const KEDA_HPA: &str = "keda-hpa-iris";

/// The API that an adapter serves.
pub(crate) const CUSTOM_METRICS: &str = "custom.metrics.k8s.io/v1beta1";

/// The API that KEDA serves.
pub(crate) const EXTERNAL_METRICS: &str = "external.metrics.k8s.io/v1beta1";

/// Field manager of the controller of HPAs.
const HPA_CONTROLLER: &str = "kube-controller-manager";

/// Maximum number of pods that an HPA requests here.
pub(crate) const MAX_PODS: i64 = 10;

/// One step of KEDA, then one of the controller of HPAs.
pub(crate) fn act(fake: &FakeApi) {
    keda_acts(fake);
    hpas_act(fake);
}

/// One step of KEDA. It protects a ScaledObject by a finalizer and creates an HPA for it, which it deletes after the
/// ScaledObject.
pub(crate) fn keda_acts(fake: &FakeApi) {
    let (scaled_objects, hpas) = (
        ResourceType::of::<ScaledObject>(),
        ResourceType::of::<HorizontalPodAutoscaler>(),
    );
    let finalizers = |names: Value| json!({"metadata": {"finalizers": names}});
    match fake.get(&scaled_objects, NAMESPACE, NAME) {
        None => fake.delete(&hpas, NAMESPACE, KEDA_HPA),
        Some(going) if !going["metadata"]["deletionTimestamp"].is_null() => {
            let none = finalizers(Value::Null);
            fake.edit(&scaled_objects, NAMESPACE, NAME, "keda", &none);
        }
        Some(_) => {
            let held = finalizers(json!(["finalizer.keda.sh"]));
            fake.edit(&scaled_objects, NAMESPACE, NAME, "keda", &held);
            let spec = json!({"spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
                "maxReplicas": MAX_PODS,
            }});
            fake.edit(&hpas, NAMESPACE, KEDA_HPA, "keda", &spec);
        }
    }
}

/// Each HPA of the Deployment requests one more pod, up to [`MAX_PODS`].
fn hpas_act(fake: &FakeApi) {
    for hpa in fake.list(&ResourceType::of::<HorizontalPodAutoscaler>()) {
        let deployments = ResourceType::of::<Deployment>();
        if let Some(deployment) = fake.get(&deployments, NAMESPACE, NAME) {
            let more = deployment["spec"]["replicas"].as_i64().unwrap() + 1;
            let name = hpa["metadata"]["name"].as_str().unwrap();
            hpa_scales(fake, name, more.min(MAX_PODS));
        }
    }
}

/// An HPA sets the number of pods, and reports it in its status.
pub(crate) fn hpa_scales(fake: &FakeApi, hpa: &str, replicas: i64) {
    let count = i32::try_from(replicas).unwrap();
    let deployments = ResourceType::of::<Deployment>();
    fake.scale(&deployments, NAMESPACE, NAME, HPA_CONTROLLER, count);
    let status = json!({"status": {"currentReplicas": replicas, "desiredReplicas": replicas}});
    let hpas = ResourceType::of::<HorizontalPodAutoscaler>();
    fake.edit(&hpas, NAMESPACE, hpa, HPA_CONTROLLER, &status);
}

/// The list of an adapter with the metrics of these signals, and metrics of other applications.
pub(crate) fn listing(signals: &[Signal]) -> Aggregated {
    let ours = signals.iter().map(|signal| signal.pods_metric().unwrap());
    let names = ours.chain(["http_requests"]);
    Aggregated::Resources(names.map(|name| format!("pods/{name}")).collect())
}
