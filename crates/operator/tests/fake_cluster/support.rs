//! A fake cluster with one ModelService, and an operator for it.

use std::{num::NonZeroU16, sync::Arc};

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
    policy::v1::PodDisruptionBudget,
};
use serde_json::{Value, json};
use springtide_api::ModelService;
use springtide_operator::{
    error::Error,
    metrics::Metrics,
    reconcile::{Context, ReconcileOutcome, reconcile},
};
use springtide_plan::{OperatorSettings, UpgradePolicy, keda::ScaledObject};
use springtide_testkit::{Aggregated, FakeApi, ResourceType};

use crate::{others::EXTERNAL_METRICS, pods::FakePods};

/// Namespace of all objects in these tests.
pub(crate) const NAMESPACE: &str = "models";
/// Name of the ModelService in these tests, and of its children.
pub(crate) const NAME: &str = "iris";

/// A fake cluster and the context of an operator, for single reconciles or a running controller.
pub(crate) struct Testbed {
    pub(crate) fake: FakeApi,
    pub(crate) context: Context,
    pub(crate) pods: Arc<FakePods>,
    pub(crate) metrics: Metrics,
}

/// The kinds of the children of a ModelService.
pub(crate) fn child_types() -> [ResourceType; 5] {
    [
        ResourceType::of::<Service>(),
        ResourceType::of::<PodDisruptionBudget>(),
        ResourceType::of::<Deployment>(),
        ResourceType::of::<HorizontalPodAutoscaler>(),
        ResourceType::of::<ScaledObject>(),
    ]
}

/// A minimal spec with an engine.
pub(crate) fn spec(engine: &str) -> Value {
    json!({
        "model": {"uri": "configMap://iris/model.onnx"},
        "replicas": if engine == "None" { json!(2) } else { Value::Null },
        "autoscaling": {"engine": engine},
    })
}

/// The default server image of these tests.
pub(crate) const SERVER_IMAGE: &str = "springtide-server:test";

/// The upgrade policy of these tests.
pub(crate) const UPGRADES: UpgradePolicy = UpgradePolicy {
    max_concurrent: NonZeroU16::new(5).unwrap(),
    pause_on_failure: true,
};

fn context(fake: &FakeApi, pods: &Arc<FakePods>, metrics: &Metrics, server_image: &str) -> Context {
    let settings = OperatorSettings {
        server_image: server_image.to_owned(),
        prometheus_address: "http://prometheus:9090".to_owned(),
        allowed_prometheus_addresses: Vec::new(),
        namespace_label: "namespace".parse().unwrap(),
        pod_label: "pod".parse().unwrap(),
        scrape_interval_seconds: 15,
    };
    Context::new(
        fake.client(),
        settings,
        metrics.clone(),
        "operator-0".to_owned(),
        Arc::<FakePods>::clone(pods),
        UPGRADES,
    )
}

impl Testbed {
    /// A cluster without KEDA and without a ModelService.
    pub(crate) fn new() -> Self {
        let fake = FakeApi::new();
        fake.install(ResourceType::of::<ModelService>());
        let pods = Arc::default();
        let metrics = Metrics::new().unwrap();
        Self {
            context: context(&fake, &pods, &metrics, SERVER_IMAGE),
            fake,
            pods,
            metrics,
        }
    }

    /// The same cluster with an operator that has just started.
    pub(crate) fn restarted(&self) -> Self {
        self.upgraded(SERVER_IMAGE)
    }

    /// The same cluster with an operator that has just started, with another default server image.
    pub(crate) fn upgraded(&self, server_image: &str) -> Self {
        let metrics = Metrics::new().unwrap();
        Self {
            context: context(&self.fake, &self.pods, &metrics, server_image),
            fake: self.fake.clone(),
            pods: Arc::clone(&self.pods),
            metrics,
        }
    }

    /// Refreshes the capabilities of the cluster.
    pub(crate) async fn refresh_capabilities(&self) {
        self.context
            .capabilities()
            .refresh(&self.fake.client())
            .await;
    }

    /// A cluster with KEDA.
    pub(crate) fn with_keda() -> Self {
        let testbed = Self::new();
        testbed.fake.install(ResourceType::of::<ScaledObject>());
        let no_metrics = Aggregated::Resources(Vec::new());
        testbed.fake.register(EXTERNAL_METRICS, no_metrics);
        testbed
    }

    /// Creates the ModelService, or changes its spec.
    pub(crate) fn set_spec(&self, spec: &Value) {
        let model_service = ResourceType::of::<ModelService>();
        self.fake.edit(
            &model_service,
            NAMESPACE,
            NAME,
            "kubectl",
            &json!({"spec": spec}),
        );
    }

    /// One reconcile, and its outcome after its events are recorded.
    pub(crate) async fn reconcile(&self) -> Result<ReconcileOutcome, Error> {
        let reconciled = reconcile(&self.context, NAMESPACE, NAME).await;
        self.context.flush_events().await;
        reconciled.map(|reconciled| reconciled.outcome)
    }

    /// Number of successful reconciles of the running controller.
    pub(crate) fn successful_reconciles(&self) -> usize {
        const COUNTER: &str = "springtide_operator_reconciles_total{outcome=\"success\"} ";
        let text = self.metrics.render().unwrap();
        let mut lines = text.lines();
        lines
            .find_map(|line| line.strip_prefix(COUNTER)?.parse().ok())
            .unwrap()
    }

    /// Reconciles until one of them settles and writes nothing.
    pub(crate) async fn converge(&self) {
        for _ in 0..10 {
            let before = self.fake.version();
            let next = self.reconcile().await.unwrap();
            if matches!(
                next,
                ReconcileOutcome::Settled | ReconcileOutcome::Incomplete
            ) && self.fake.version() == before
            {
                return;
            }
        }
        panic!("not converged after 10 reconciles");
    }

    /// The child of a kind, or the ModelService itself.
    pub(crate) fn get<K: kube::Resource<DynamicType = ()>>(&self) -> Option<Value> {
        self.fake.get(&ResourceType::of::<K>(), NAMESPACE, NAME)
    }

    /// Status and reason of a condition.
    pub(crate) fn condition(&self, kind: &str) -> (String, String) {
        let model_service = self.get::<ModelService>().unwrap();
        let conditions = model_service["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = conditions
            .iter()
            .find(|condition| condition["type"] == kind);
        let field = |name: &str| {
            found
                .map_or("", |found| found[name].as_str().unwrap())
                .to_owned()
        };
        (field("status"), field("reason"))
    }

    /// All objects, without the fields that may differ between two runs with the same final state.
    pub(crate) fn snapshot(&self) -> Vec<Value> {
        let types = child_types()
            .into_iter()
            .chain([ResourceType::of::<ModelService>()]);
        let mut objects: Vec<Value> = types.flat_map(|kind| self.fake.list(&kind)).collect();
        for object in &mut objects {
            let metadata = object["metadata"].as_object_mut().unwrap();
            for name in ["uid", "resourceVersion", "generation"] {
                metadata.remove(name);
            }
            for condition in object["status"]["conditions"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                condition
                    .as_object_mut()
                    .unwrap()
                    .remove("lastTransitionTime");
            }
        }
        objects
    }

    /// Writes the status of the Deployment as its controller does when all replicas are ready.
    pub(crate) fn pods_become_ready(&self) {
        let deployment = self.get::<Deployment>().unwrap();
        let replicas = &deployment["spec"]["replicas"];
        let status = json!({
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas,
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        });
        self.edit::<Deployment>("kube-controller-manager", &json!({"status": status}));
    }

    /// Changes a child as another field manager.
    pub(crate) fn edit<K: kube::Resource<DynamicType = ()>>(&self, manager: &str, patch: &Value) {
        self.fake
            .edit(&ResourceType::of::<K>(), NAMESPACE, NAME, manager, patch);
    }
}
