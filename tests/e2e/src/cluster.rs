//! The cluster under test: reads and writes of any kind of object, and HTTP to pods and Services through the proxy of
//! the API server.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use http::{Method, Request};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Client, Config, Resource};
use serde_json::{Value, json};

use crate::json::{items, text};
use crate::kind::{self, Kind};

/// Field manager of the writes of these tests.
pub const FIELD_MANAGER: &str = "springtide-e2e";

/// An HTTP response of a pod or a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// Clients of the cluster under test.
#[derive(Clone)]
pub struct Cluster {
    api: Client,
    /// A client without retries: a 503 of a pod is a result.
    proxy: Client,
}

impl Cluster {
    /// The same cluster as another user.
    ///
    /// # Errors
    ///
    /// If `KUBECONFIG` is not usable.
    pub async fn connect_as(user: &str) -> Result<Client> {
        let mut config = Config::infer().await?;
        config.auth_info.impersonate = Some(user.to_owned());
        Ok(Client::try_from(config)?)
    }

    /// Connects to the cluster of `KUBECONFIG`. The current context is never used by default, because the tests create
    /// and delete namespaces.
    ///
    /// # Errors
    ///
    /// If `KUBECONFIG` is not set or not usable.
    pub async fn connect() -> Result<Self> {
        ensure!(
            std::env::var_os("KUBECONFIG").is_some(),
            "KUBECONFIG is not set. `make e2e` makes a cluster and runs these tests; or set it to a cluster that has \
             the operator, KEDA, metrics-server, Prometheus and prometheus-adapter"
        );
        let config = Config::infer().await?;
        let mut proxy = config.clone();
        proxy.default_retry = false;
        Ok(Self {
            api: Client::try_from(config)?,
            proxy: Client::try_from(proxy)?,
        })
    }

    /// The plain client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.api.clone()
    }

    /// The dynamic API of a kind, in a namespace or, without one, in the whole cluster.
    #[must_use]
    pub fn objects(&self, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.api.clone(), namespace, &kind.resource()),
            None => Api::all_with(self.api.clone(), &kind.resource()),
        }
    }

    /// Applies a manifest as a user. Unknown fields are an error.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn apply(&self, namespace: Option<&str>, manifest: &Value) -> Result<Value> {
        self.patch(
            namespace,
            manifest,
            &PatchParams::apply(FIELD_MANAGER)
                .force()
                .validation_strict(),
        )
        .await
    }

    /// A dry run of [`apply`](Self::apply).
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn apply_dry(&self, namespace: &str, manifest: &Value) -> Result<Value> {
        self.patch(
            Some(namespace),
            manifest,
            &PatchParams::apply(FIELD_MANAGER)
                .validation_strict()
                .dry_run(),
        )
        .await
    }

    async fn patch(
        &self,
        namespace: Option<&str>,
        manifest: &Value,
        how: &PatchParams,
    ) -> Result<Value> {
        let kind = kind::of(manifest)
            .with_context(|| format!("a kind these tests don't know: {manifest}"))?;
        let name = manifest["metadata"]["name"]
            .as_str()
            .context("no metadata.name")?;
        let object = self
            .objects(kind, namespace)
            .patch(name, how, &Patch::Apply(manifest))
            .await?;
        Ok(serde_json::to_value(object)?)
    }

    /// Merges a change into an object, as another client.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn merge(
        &self,
        namespace: &str,
        kind: Kind,
        name: &str,
        change: &Value,
    ) -> Result<Value> {
        let how = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let object = self
            .objects(kind, Some(namespace))
            .patch(name, &how, &Patch::Merge(change))
            .await?;
        Ok(serde_json::to_value(object)?)
    }

    /// Creates an object.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn create(&self, namespace: &str, kind: Kind, manifest: &Value) -> Result<Value> {
        let object = serde_json::from_value(manifest.clone())?;
        let made = self
            .objects(kind, Some(namespace))
            .create(&PostParams::default(), &object)
            .await?;
        Ok(serde_json::to_value(made)?)
    }

    /// An object, if it exists.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request. A missing object is no error.
    pub async fn find(&self, namespace: &str, kind: Kind, name: &str) -> Result<Option<Value>> {
        let found = self.objects(kind, Some(namespace)).get_opt(name).await?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// An object that must exist.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request, or if there is none.
    pub async fn get(&self, namespace: &str, kind: Kind, name: &str) -> Result<Value> {
        self.find(namespace, kind, name)
            .await?
            .with_context(|| format!("no {} {namespace}/{name}", kind.name))
    }

    /// Objects with these labels (`a=b,c=d`; empty: all).
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn list(
        &self,
        namespace: Option<&str>,
        kind: Kind,
        labels: &str,
    ) -> Result<Vec<Value>> {
        let listed = self
            .objects(kind, namespace)
            .list(&ListParams::default().labels(labels))
            .await?;
        Ok(listed
            .items
            .into_iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?)
    }

    /// The `InternalIP` of the first node that has one.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request, or if no node has one.
    pub async fn node_address(&self) -> Result<IpAddr> {
        let nodes = self.list(None, kind::NODE, "").await?;
        let addresses = nodes
            .iter()
            .flat_map(|node| items(node, "/status/addresses"));
        let internal = addresses
            .filter(|address| address["type"] == "InternalIP")
            .map(|address| text(address, "/address"));
        internal
            .filter_map(|address| address.parse().ok())
            .next()
            .context("no node has an InternalIP")
    }

    /// Begins to delete an object, and the objects that it owns in the background.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn delete(&self, namespace: Option<&str>, kind: Kind, name: &str) -> Result<()> {
        self.objects(kind, namespace)
            .delete(name, &DeleteParams::background())
            .await?;
        Ok(())
    }

    /// Deletes an object, and keeps the objects that it owns.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn delete_alone(&self, namespace: &str, kind: Kind, name: &str) -> Result<()> {
        self.objects(kind, Some(namespace))
            .delete(name, &DeleteParams::orphan())
            .await?;
        Ok(())
    }

    /// Sets the replicas of an object, as `kubectl scale` does.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn scale(
        &self,
        namespace: &str,
        kind: Kind,
        name: &str,
        replicas: i64,
    ) -> Result<()> {
        let change = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.objects(kind, Some(namespace))
            .patch_scale(name, &PatchParams::default(), &change)
            .await?;
        Ok(())
    }

    /// The row of an object in `kubectl get`: its cells by the names of their columns.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn columns(
        &self,
        namespace: &str,
        kind: Kind,
        name: &str,
    ) -> Result<BTreeMap<String, Value>> {
        let resource = kind.resource();
        let url = format!(
            "{}/{name}",
            DynamicObject::url_path(&resource, Some(namespace))
        );
        let request = Request::get(url)
            .header(
                http::header::ACCEPT,
                "application/json;as=Table;v=v1;g=meta.k8s.io",
            )
            .body(Vec::new())?;
        let table: Value = self.api.request(request).await?;
        let names = items(&table, "/columnDefinitions").iter();
        let names = names.map(|column| text(column, "/name").to_owned());
        Ok(names
            .zip(items(&table, "/rows/0/cells").iter().cloned())
            .collect())
    }

    /// Reads a path of the API server as JSON.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn read(&self, path: &str) -> Result<Value> {
        Ok(self
            .api
            .request(Request::get(path).body(Vec::new())?)
            .await?)
    }

    /// Sends a request to a pod through the API server.
    ///
    /// # Errors
    ///
    /// If the API server is unreachable. A response of any status is no error.
    pub async fn ask_pod(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        path: &str,
    ) -> Result<Answer> {
        let url = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}");
        self.ask(Method::GET, &url, Vec::new()).await
    }

    /// Posts JSON to port 80 of a Service through the API server.
    ///
    /// # Errors
    ///
    /// If the API server is unreachable. A response of any status is no error.
    pub async fn post_to_service(
        &self,
        namespace: &str,
        service: &str,
        path: &str,
        body: &Value,
    ) -> Result<Answer> {
        let url = format!("/api/v1/namespaces/{namespace}/services/{service}:80/proxy{path}");
        self.ask(Method::POST, &url, serde_json::to_vec(body)?)
            .await
    }

    async fn ask(&self, method: Method, url: &str, body: Vec<u8>) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))?;
        let response = self.proxy.send(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect_bytes().await?;
        Ok(Answer {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}
