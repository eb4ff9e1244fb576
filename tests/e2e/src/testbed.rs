//! A namespace for each test. It is deleted afterwards in any case.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use futures::FutureExt;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell, RwLock};

use crate::cluster::{Answer, Cluster};
use crate::json::{items, number, text};
use crate::kind::{self, Kind};
use crate::wait::{self, Look, Waited};
use crate::{addon, diagnosis, example, report};

/// Label of the namespaces of tests. Its value is the ID of the run.
const RUN_LABEL: &str = "springtide-e2e/run";

/// Maximum time of a test: several times that of the slowest.
const TEST_LIMIT: Duration = Duration::from_secs(300);

/// Maximum time until a ModelService is Ready: scheduling, fetching, loading and one probe of each pod, on a machine
/// that is busy with other tests.
pub const READY_LIMIT: Duration = Duration::from_secs(120);

/// Maximum time until the status has the reason for a change of the replicas. A watch reports the change to the
/// operator at once.
pub const WHY_LIMIT: Duration = Duration::from_secs(30);

/// Whether a test may run at the same time as others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// It changes nothing outside its namespace.
    Welcome,
    /// It measures under load, so no other test with load may run at the same time.
    OneLoad,
    /// It disturbs components that other tests need, so it runs alone.
    Alone,
}

static COMPANY: RwLock<()> = RwLock::const_new(());
static LOAD: Mutex<()> = Mutex::const_new(());
static LEFTOVERS: OnceCell<()> = OnceCell::const_new();

/// The cluster and the namespace of a test.
pub struct Testbed {
    /// The cluster under test.
    pub cluster: Cluster,
    /// The test's own namespace, under Pod Security "restricted".
    pub namespace: String,
    test: &'static str,
}

/// Why a test failed. It is printed with its causes and without a backtrace, which would only show the waits of this
/// crate.
pub struct Failure(anyhow::Error);

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// Runs a test in a new namespace and then deletes it, also after a failure or a panic. After a failure it prints the
/// state of the namespace first.
///
/// # Errors
///
/// If the test fails, or if the namespace can't be created.
pub async fn in_namespace(
    test: &'static str,
    company: Company,
    body: impl AsyncFnOnce(&Testbed) -> Result<()>,
) -> Result<(), Failure> {
    in_namespace_within(TEST_LIMIT, test, company, body).await
}

/// [`in_namespace`] with another maximum time.
///
/// # Errors
///
/// If the test fails, or if the namespace can't be created.
pub async fn in_namespace_within(
    limit: Duration,
    test: &'static str,
    company: Company,
    body: impl AsyncFnOnce(&Testbed) -> Result<()>,
) -> Result<(), Failure> {
    let of_one = async |testbeds: &[Testbed]| body(&testbeds[0]).await;
    run_in_namespaces(limit, test, company, 1, of_one)
        .await
        .map_err(Failure)
}

/// [`in_namespace`] with a second namespace.
///
/// # Errors
///
/// If the test fails, or if the namespaces can't be created.
pub async fn in_two_namespaces(
    test: &'static str,
    company: Company,
    body: impl AsyncFnOnce(&Testbed, &Testbed) -> Result<()>,
) -> Result<(), Failure> {
    run_in_namespaces(
        TEST_LIMIT,
        test,
        company,
        2,
        async |testbeds: &[Testbed]| body(&testbeds[0], &testbeds[1]).await,
    )
    .await
    .map_err(Failure)
}

async fn run_in_namespaces(
    limit: Duration,
    test: &'static str,
    company: Company,
    namespaces: usize,
    body: impl AsyncFnOnce(&[Testbed]) -> Result<()>,
) -> Result<()> {
    let cluster = Cluster::connect().await?;
    LEFTOVERS
        .get_or_try_init(|| mend_leftovers(&cluster))
        .await?;
    // The load first: a test that waits for its turn must hold nothing that others wait for.
    let _load = if company == Company::OneLoad {
        Some(LOAD.lock().await)
    } else {
        None
    };
    let (_together, _alone);
    match company {
        Company::Welcome | Company::OneLoad => _together = COMPANY.read().await,
        Company::Alone => _alone = COMPANY.write().await,
    }
    let mut testbeds = Vec::new();
    for number in 1..=namespaces {
        testbeds.push(Testbed::make(cluster.clone(), test, number).await?);
    }
    let start = tokio::time::Instant::now();
    let limited = tokio::time::timeout(limit, Box::pin(body(&testbeds)));
    let outcome = AssertUnwindSafe(limited).catch_unwind().await;
    let failed = !matches!(outcome, Ok(Ok(Ok(()))));
    let keep = std::env::var_os("SPRINGTIDE_E2E_KEEP").is_some_and(|keep| keep == "1");
    for testbed in &testbeds {
        if failed {
            testbed.report(&diagnosis::of(&testbed.cluster, &testbed.namespace).await);
        }
        if failed && keep {
            testbed.report(&format!("namespace {} is kept", testbed.namespace));
        } else {
            testbed
                .cluster
                .delete(None, kind::NAMESPACE, &testbed.namespace)
                .await?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    report::line(test, &format!("took {seconds:.1} s"));
    match outcome {
        Ok(in_time) => {
            in_time.map_err(|_| anyhow!("{test} took longer than {} s", limit.as_secs()))?
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Removes the namespaces of an earlier run that was killed, because they use resources of the nodes. Restarts the
/// addons that it had stopped.
async fn mend_leftovers(cluster: &Cluster) -> Result<()> {
    for namespace in cluster
        .list(
            None,
            kind::NAMESPACE,
            &format!("{RUN_LABEL},{RUN_LABEL}!={}", run()),
        )
        .await?
    {
        cluster
            .delete(None, kind::NAMESPACE, text(&namespace, "/metadata/name"))
            .await?;
    }
    for addon in addon::ALL {
        addon.start_where_installed(cluster).await?;
    }
    Ok(())
}

/// The ID of this run of the suite.
fn run() -> String {
    std::process::id().to_string()
}

impl Testbed {
    async fn make(cluster: Cluster, test: &'static str, number: usize) -> Result<Self> {
        let moment = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let namespace = format!("e2e-{test}-{:06}-{number}", moment % 1_000_000);
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": namespace,
                "labels": {RUN_LABEL: run(), "pod-security.kubernetes.io/enforce": "restricted"},
            },
        });
        cluster
            .apply(None, &manifest)
            .await
            .context("making the test's namespace")?;
        Ok(Self {
            cluster,
            namespace,
            test,
        })
    }

    /// Prints one line with a measurement of the test.
    pub fn report(&self, text: &str) {
        report::line(self.test, text);
    }

    /// Applies a manifest into the namespace.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn apply(&self, manifest: &Value) -> Result<Value> {
        self.cluster.apply(Some(&self.namespace), manifest).await
    }

    /// Merges a change into an object of the namespace.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn merge(&self, kind: Kind, name: &str, change: &Value) -> Result<Value> {
        self.cluster
            .merge(&self.namespace, kind, name, change)
            .await
    }

    /// An object of the namespace that must exist.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request, or if there is none.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Value> {
        self.cluster.get(&self.namespace, kind, name).await
    }

    /// An object of the namespace, if it exists.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request. A missing object is no error.
    pub async fn find(&self, kind: Kind, name: &str) -> Result<Option<Value>> {
        self.cluster.find(&self.namespace, kind, name).await
    }

    /// Begins to delete an object of the namespace.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        self.cluster.delete(Some(&self.namespace), kind, name).await
    }

    /// Creates a ConfigMap of files.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn config_map(&self, name: &str, files: &[(&str, Vec<u8>)]) -> Result<()> {
        let data = files
            .iter()
            .map(|(key, content)| {
                Ok((
                    (*key).to_owned(),
                    serde_json::to_value(ByteString(content.clone()))?,
                ))
            })
            .collect::<Result<serde_json::Map<_, _>>>()?;
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "binaryData": data});
        self.apply(&manifest).await?;
        Ok(())
    }

    /// Applies a ModelService with a model of `examples/models`, and its ConfigMap. Returns its name.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn serve(&self, manifest: &Value) -> Result<String> {
        let (config_map, key) = example::config_map_of(manifest)?;
        let model = key
            .strip_suffix(".onnx")
            .context("an example's key ends in .onnx")?;
        self.config_map(config_map, &[(key, example::model(model)?)])
            .await?;
        let made = self.apply(manifest).await?;
        Ok(text(&made, "/metadata/name").to_owned())
    }

    /// [`serve`](Self::serve), and waits until it is Ready. Prints the time.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request, or if it didn't become Ready in time.
    pub async fn serve_until_ready(&self, manifest: &Value) -> Result<String> {
        let name = self.serve(manifest).await?;
        let waited = self.until_ready(&name).await?;
        self.report(&format!("{name} Ready after {}", waited.seconds()));
        Ok(name)
    }

    /// Waits until a ModelService is Ready in its current generation.
    ///
    /// # Errors
    ///
    /// If it isn't Ready in time.
    pub async fn until_ready(&self, name: &str) -> Result<Waited<()>> {
        self.until_condition(name, "Ready", "True", READY_LIMIT)
            .await
    }

    /// Waits until a condition of a ModelService, observed in its current generation, has a status.
    ///
    /// # Errors
    ///
    /// If the time is over.
    pub async fn until_condition(
        &self,
        name: &str,
        type_: &str,
        status: &str,
        limit: Duration,
    ) -> Result<Waited<()>> {
        let what = format!("ModelService {name} to have {type_}={status}");
        let is_it = |found: &Value| found["status"] == status;
        self.until_judged(name, type_, &what, limit, is_it).await
    }

    /// Waits until a condition of a ModelService, observed in its current generation, has a reason and a message with
    /// all of these texts.
    ///
    /// # Errors
    ///
    /// If the time is over.
    pub async fn until_said(
        &self,
        name: &str,
        type_: &str,
        reason: &str,
        says: &[&str],
        limit: Duration,
    ) -> Result<Waited<()>> {
        let what = format!("ModelService {name} to have {type_} with {reason} and {says:?}");
        let is_it = |found: &Value| {
            let message = text(found, "/message");
            found["reason"] == reason && says.iter().all(|part| message.contains(part))
        };
        self.until_judged(name, type_, &what, limit, is_it).await
    }

    /// Waits until a condition of a ModelService, observed in its current generation, satisfies `is_it`.
    async fn until_judged(
        &self,
        name: &str,
        type_: &str,
        what: &str,
        limit: Duration,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Waited<()>> {
        wait::until(what, limit, async || {
            let service = self.get(kind::MODEL_SERVICE, name).await?;
            let so = condition(&service, type_).is_some_and(|found| {
                found["observedGeneration"] == service["metadata"]["generation"] && is_it(found)
            });
            Ok(Look::at(so, || diagnosis::conditions(&service)))
        })
        .await
    }

    /// Waits until an object of the namespace exists, and returns it.
    ///
    /// # Errors
    ///
    /// If the time is over.
    pub async fn until_there(&self, kind: Kind, name: &str, limit: Duration) -> Result<Value> {
        let waited = wait::until(&format!("{} {name}", kind.name), limit, async || {
            let found = self.find(kind, name).await?;
            Ok(found.map_or_else(|| Look::NotYet("none".to_owned()), Look::Seen))
        })
        .await?;
        Ok(waited.value)
    }

    /// Waits until a search in the decisions of a ModelService succeeds. The newest decision is first.
    ///
    /// # Errors
    ///
    /// If the time is over.
    pub async fn until_decided<T>(
        &self,
        name: &str,
        what: &str,
        find: impl Fn(&[Value]) -> Option<T>,
    ) -> Result<Waited<T>> {
        wait::until(what, WHY_LIMIT, async || {
            let service = self.get(kind::MODEL_SERVICE, name).await?;
            let decisions = items(&service, "/status/autoscaling/decisions");
            Ok(match find(decisions) {
                Some(found) => Look::Seen(found),
                None => Look::NotYet(service["status"]["autoscaling"].to_string()),
            })
        })
        .await
    }

    /// The pods of a ModelService that are not being deleted.
    ///
    /// # Errors
    ///
    /// If the API server rejects the request.
    pub async fn pods(&self, name: &str) -> Result<Vec<Value>> {
        let labels =
            format!("app.kubernetes.io/name=modelservice,app.kubernetes.io/instance={name}");
        let mut pods = self
            .cluster
            .list(Some(&self.namespace), kind::POD, &labels)
            .await?;
        pods.retain(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        Ok(pods)
    }

    /// Reads a path of one of the namespace's serving pods.
    ///
    /// # Errors
    ///
    /// If the API server is unreachable. A response of any status is no error.
    pub async fn ask_pod(&self, pod: &str, path: &str) -> Result<Answer> {
        self.cluster
            .ask_pod(
                &self.namespace,
                pod,
                springtide_contract::defaults::PORT,
                path,
            )
            .await
    }
}

/// A condition of an object, if it has one.
#[must_use]
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    items(object, "/status/conditions")
        .iter()
        .find(|condition| condition["type"] == type_)
}

/// Whether a pod is Ready.
#[must_use]
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// The desired replicas of a Deployment.
#[must_use]
pub fn replicas(deployment: &Value) -> i64 {
    number(deployment, "/spec/replicas")
}
