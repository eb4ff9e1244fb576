//! Reads what a plan depends on, from the API server and not from a cache: a plan that doesn't know
//! an autoscaler that is there would make a second one.

use std::{collections::BTreeSet, fmt::Debug};

use futures::try_join;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, api::ListParams};
use serde::de::DeserializeOwned;
use springtide_plan::{
    Capabilities, Observed, PodsMetrics, Scaling, ValidatedModelService, is_another, labels,
};

use crate::{capabilities::serves_keda, error::Error};

/// Pods that are read in one answer of the API server.
const PAGE_PODS: u32 = 100;

/// Pods beyond which no more are read: more than twice what `maxReplicas` and a rollout allow.
const MAX_PODS: usize = 2500;

/// Everything that is observed about a ModelService. `pods_metrics` is what is known of them: they don't
/// decide which autoscalers there are, and their list is long.
///
/// # Errors
///
/// Where a call fails: a plan never rests on half of it.
pub(crate) async fn observe(
    client: &Client,
    namespace: &str,
    model_service: &ValidatedModelService,
    pods_metrics: PodsMetrics,
) -> Result<Observed, Error> {
    let name = model_service.name();
    let keda_hpa = model_service.keda_hpa_name();
    let keda = serves_keda(client)
        .await
        .map_err(Error::api("discovering KEDA"))?;
    let scaled_object = async {
        if keda {
            get(client, namespace, name).await
        } else {
            Ok(None)
        }
    };
    let other_autoscalers = async {
        match model_service.scaling() {
            Scaling::Fixed { .. } => others(client, namespace, model_service).await,
            Scaling::Autoscaled(_) => Ok(BTreeSet::new()),
        }
    };
    let (
        service,
        pod_disruption_budget,
        deployment,
        horizontal_pod_autoscaler,
        scaled_object,
        keda_horizontal_pod_autoscaler,
        other_autoscalers,
        pods,
    ) = try_join!(
        get(client, namespace, name),
        get(client, namespace, name),
        get(client, namespace, name),
        get(client, namespace, name),
        scaled_object,
        get(client, namespace, &keda_hpa),
        other_autoscalers,
        pods(client, namespace, name),
    )?;
    Ok(Observed {
        at: Timestamp::now(),
        service,
        pod_disruption_budget,
        deployment,
        horizontal_pod_autoscaler,
        scaled_object,
        keda_horizontal_pod_autoscaler,
        other_autoscalers,
        pods,
        answers: Vec::new(),
        capabilities: Capabilities { keda, pods_metrics },
    })
}

/// The pods that the ModelService selects, as far as plans and conditions read them: anybody who may make pods
/// in the namespace can make one of these, of any number and size.
async fn pods(client: &Client, namespace: &str, name: &str) -> Result<Vec<Pod>, Error> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let mut page = ListParams::default()
        .labels(&labels::selector_text(name))
        .limit(PAGE_PODS);
    let mut pods = Vec::new();
    loop {
        let list = api.list(&page).await.map_err(Error::api("listing pods"))?;
        pods.extend(list.items.into_iter().map(pruned));
        page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
        if page.continue_token.is_none() || pods.len() >= MAX_PODS {
            return Ok(pods);
        }
    }
}

/// Without what nothing reads.
fn pruned(mut pod: Pod) -> Pod {
    pod.spec = None;
    pod.metadata.managed_fields = None;
    pod
}

/// Somebody else's HPAs that scale the Deployment.
async fn others(
    client: &Client,
    namespace: &str,
    model_service: &ValidatedModelService,
) -> Result<BTreeSet<String>, Error> {
    let hpas = Api::<HorizontalPodAutoscaler>::namespaced(client.clone(), namespace)
        .list(&ListParams::default())
        .await
        .map_err(Error::api("listing HorizontalPodAutoscalers"))?;
    Ok(hpas
        .into_iter()
        .filter(|hpa| is_another(hpa, model_service))
        .filter_map(|hpa| hpa.metadata.name)
        .collect())
}

async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    Api::<K>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(Error::api(format!("reading the {}", K::kind(&()))))
}
