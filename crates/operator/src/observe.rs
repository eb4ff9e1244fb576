//! Reads what a plan depends on: from the caches where they are certain, otherwise from the API server. Before a plan
//! is applied, whatever must not be outdated is read again ([`recheck`]).

use std::{collections::BTreeSet, fmt::Debug};

use futures::try_join;
use k8s_openapi::{
    api::{autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod},
    jiff::Timestamp,
};
use kube::{Api, Client, api::ListParams};
use serde::de::DeserializeOwned;
use springtide_plan::{
    Capabilities, Observed, Recheck, Scaling, ValidatedModelService, is_foreign_autoscaler,
    keda::ScaledObject, labels,
};

use crate::{
    caches::{Cached, Caches, prune_pod_metadata},
    error::Error,
    object_cache::Lookup,
    undone::Undone,
};

/// Objects per page of a list.
const PAGE: u32 = 100;

/// Maximum number of pods that are read: more than twice what `maxReplicas` and a rollout allow.
const MAX_PODS: usize = 2500;

/// Reads objects from the caches and the API server.
#[derive(Clone, Copy)]
pub(crate) struct ClusterReader<'a> {
    pub(crate) client: &'a Client,
    pub(crate) caches: &'a Caches,
    pub(crate) undone: &'a Undone,
}

/// Everything that is observed about a ModelService, with the capabilities of the cluster.
///
/// # Errors
///
/// If a call fails: a plan never uses a partial observation.
pub(crate) async fn observe(
    reader: ClusterReader<'_>,
    namespace: &str,
    model_service: &ValidatedModelService,
    capabilities: Capabilities,
) -> Result<Observed, Error> {
    let name = model_service.name();
    let keda_hpa = model_service.keda_hpa_name();
    let other_autoscalers = async {
        match model_service.scaling() {
            Scaling::Fixed { .. } => reader.other_autoscalers(namespace, model_service).await,
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
        reader.get(namespace, name),
        reader.get(namespace, name),
        reader.get(namespace, name),
        reader.get(namespace, name),
        reader.scaled_object(namespace, name, &capabilities),
        reader.get(namespace, &keda_hpa),
        other_autoscalers,
        reader.pods(namespace, name),
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
        capabilities,
    })
}

/// Reads from the API server what the plan assumes to be absent.
///
/// # Errors
///
/// If a call fails: the plan must not be applied.
pub(crate) async fn recheck(
    reader: ClusterReader<'_>,
    namespace: &str,
    model_service: &ValidatedModelService,
    beside: Recheck,
    observed: &mut Observed,
) -> Result<(), Error> {
    let name = model_service.name();
    let keda_hpa = model_service.keda_hpa_name();
    match beside {
        Recheck::Hpa => {
            observed.horizontal_pod_autoscaler = reader.get_live(namespace, name).await?;
        }
        Recheck::KedaHpa => {
            observed.keda_horizontal_pod_autoscaler = reader.get_live(namespace, &keda_hpa).await?;
        }
        Recheck::Any => {
            let scaled_object = async {
                if observed.capabilities.keda {
                    reader.get_live(namespace, name).await
                } else {
                    Ok(None)
                }
            };
            let (hpa, hpa_of_keda, scaled_object, others) = try_join!(
                reader.get_live(namespace, name),
                reader.get_live(namespace, &keda_hpa),
                scaled_object,
                reader.other_autoscalers_live(namespace, model_service),
            )?;
            observed.horizontal_pod_autoscaler = hpa;
            observed.keda_horizontal_pod_autoscaler = hpa_of_keda;
            observed.scaled_object = scaled_object;
            observed.other_autoscalers = others;
        }
    }
    Ok(())
}

impl ClusterReader<'_> {
    async fn get<K: Cached>(self, namespace: &str, name: &str) -> Result<Option<K>, Error> {
        self.caches.get(self.client, namespace, name).await
    }

    async fn get_live<K: Cached>(self, namespace: &str, name: &str) -> Result<Option<K>, Error> {
        let found = self.caches.get_live(self.client, namespace, name).await;
        found.map_err(Error::api(format!("reading the {}", K::kind(&()))))
    }

    async fn scaled_object(
        self,
        namespace: &str,
        name: &str,
        capabilities: &Capabilities,
    ) -> Result<Option<ScaledObject>, Error> {
        if capabilities.keda {
            self.get(namespace, name).await
        } else {
            Ok(None)
        }
    }

    /// The pods of the ModelService.
    async fn pods(self, namespace: &str, name: &str) -> Result<Vec<Pod>, Error> {
        match self.caches.pods.group(namespace, name, MAX_PODS) {
            Lookup::Known(pods) => Ok(pods),
            Lookup::Unknown => pods_live(self.client, namespace, name).await,
        }
    }

    /// HPAs of other owners that scale the Deployment.
    async fn other_autoscalers(
        self,
        namespace: &str,
        model_service: &ValidatedModelService,
    ) -> Result<BTreeSet<String>, Error> {
        let hpas = &self.caches.horizontal_pod_autoscalers;
        match hpas.group(namespace, model_service.name(), usize::MAX) {
            Lookup::Known(hpas) => Ok(foreign_autoscaler_names(hpas, model_service).collect()),
            Lookup::Unknown => self.other_autoscalers_live(namespace, model_service).await,
        }
    }

    /// The same from the API server, which lists all HPAs of the namespace.
    async fn other_autoscalers_live(
        self,
        namespace: &str,
        model_service: &ValidatedModelService,
    ) -> Result<BTreeSet<String>, Error> {
        let api = Api::<HorizontalPodAutoscaler>::namespaced(self.client.clone(), namespace);
        let mut names = BTreeSet::new();
        pages(&api, ListParams::default(), |page| {
            names.extend(foreign_autoscaler_names(page, model_service));
            true
        })
        .await
        .map_err(Error::api("listing HorizontalPodAutoscalers"))?;
        Ok(names)
    }
}

fn foreign_autoscaler_names(
    hpas: Vec<HorizontalPodAutoscaler>,
    model_service: &ValidatedModelService,
) -> impl Iterator<Item = String> {
    hpas.into_iter()
        .filter(|hpa| is_foreign_autoscaler(hpa, model_service))
        .filter_map(|hpa| hpa.metadata.name)
}

/// The pods of the ModelService, as far as plans and conditions read them. Anyone who may create pods in the namespace
/// can create one of these, of any size and number.
async fn pods_live(client: &Client, namespace: &str, name: &str) -> Result<Vec<Pod>, Error> {
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

/// Reads a list page by page while `accept` returns true: a namespace has no maximum size, but the operator's memory
/// has.
async fn pages<K>(
    api: &Api<K>,
    mut page: ListParams,
    mut accept: impl FnMut(Vec<K>) -> bool,
) -> Result<(), kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    page = page.limit(PAGE);
    loop {
        let list = api.list(&page).await?;
        page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
        if !accept(list.items) || page.continue_token.is_none() {
            return Ok(());
        }
    }
}

/// Drops the same parts of a pod as its cache.
fn pruned(mut pod: Pod) -> Pod {
    pod.spec = None;
    prune_pod_metadata(&mut pod.metadata);
    pod
}
