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
    Capabilities, ExternalMetrics, Observed, PodsMetrics, Scaling, ValidatedModelService,
    is_another, labels,
};

use crate::{capabilities::serves_keda, error::Error};

/// Objects that are read in one answer of the API server.
const PAGE: u32 = 100;

/// Pods beyond which no more are read: more than twice what `maxReplicas` and a rollout allow.
const MAX_PODS: usize = 2500;

/// Everything that is observed about a ModelService. `pods_metrics` is what is known of them: they don't
/// decide which autoscalers there are, and their list is long. So is `external_metrics`, which a plan distrusts.
///
/// # Errors
///
/// Where a call fails: a plan never rests on half of it.
pub(crate) async fn observe(
    client: &Client,
    namespace: &str,
    model_service: &ValidatedModelService,
    external_metrics: ExternalMetrics,
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
        events: Vec::new(),
        answers: Vec::new(),
        capabilities: Capabilities {
            keda,
            external_metrics,
            pods_metrics,
        },
    })
}

/// The pods that the ModelService selects, as far as plans and conditions read them: anybody who may make pods
/// in the namespace can make one of these, of any number and size.
async fn pods(client: &Client, namespace: &str, name: &str) -> Result<Vec<Pod>, Error> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let selected = ListParams::default().labels(&labels::selector_text(name));
    let mut pods = Vec::new();
    pages(&api, selected, |page: Vec<Pod>| {
        pods.extend(page.into_iter().map(pruned));
        pods.len() < MAX_PODS
    })
    .await
    .map_err(Error::api("listing pods"))?;
    Ok(pods)
}

/// Reads a list page by page, for as long as there is more and `take` wants it: what a namespace holds has no bound,
/// and the operator's memory has.
async fn pages<K>(
    api: &Api<K>,
    mut page: ListParams,
    mut take: impl FnMut(Vec<K>) -> bool,
) -> Result<(), kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    page = page.limit(PAGE);
    loop {
        let list = api.list(&page).await?;
        page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
        if !take(list.items) || page.continue_token.is_none() {
            return Ok(());
        }
    }
}

/// Without what nothing reads.
fn pruned(mut pod: Pod) -> Pod {
    pod.spec = None;
    pod.metadata.managed_fields = None;
    pod
}

/// Somebody else's HPAs that scale the Deployment: all of them are looked at, however many there are.
async fn others(
    client: &Client,
    namespace: &str,
    model_service: &ValidatedModelService,
) -> Result<BTreeSet<String>, Error> {
    let api = Api::<HorizontalPodAutoscaler>::namespaced(client.clone(), namespace);
    let mut names = BTreeSet::new();
    pages(&api, ListParams::default(), |page| {
        let others = page
            .into_iter()
            .filter(|hpa| is_another(hpa, model_service));
        names.extend(others.filter_map(|hpa| hpa.metadata.name));
        true
    })
    .await
    .map_err(Error::api("listing HorizontalPodAutoscalers"))?;
    Ok(names)
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
