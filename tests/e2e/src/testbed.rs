//! A namespace of its own for each test, gone afterwards whatever happens.

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

/// Label of the tests' namespaces; its value names the run.
const RUN_LABEL: &str = "springtide-e2e/run";

/// Longest time that one test may take: several times what the slowest needs.
const TEST_LIMIT: Duration = Duration::from_secs(300);

/// Longest time until a ModelService that can be served is Ready: scheduling, fetching, loading and
/// one probe of each pod, on a machine that is busy with the other tests.
pub const READY_LIMIT: Duration = Duration::from_secs(120);

/// Longest time until the status says why the number of pods has changed: the operator hears of it at
/// once.
pub const WHY_LIMIT: Duration = Duration::from_secs(30);

/// Whether a test may run beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// It touches nothing outside its namespace.
    Welcome,
    /// It makes load and measures: beside others, but not beside another load.
    OneLoad,
    /// It disturbs what the others rely on, so it waits for them and they wait for it.
    Alone,
}

static COMPANY: RwLock<()> = RwLock::const_new(());
static LOAD: Mutex<()> = Mutex::const_new(());
static LEFTOVERS: OnceCell<()> = OnceCell::const_new();

/// One test's place in the cluster.
pub struct Testbed {
    /// The cluster under test.
    pub cluster: Cluster,
    /// The test's own namespace, under Pod Security "restricted".
    pub namespace: String,
    test: &'static str,
}

/// Why a test failed. As a test's error it is printed with its causes and without a backtrace, which
/// would be one of this crate's waiting.
pub struct Failure(anyhow::Error);

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// Runs a test in a new namespace and deletes that, also after a failure or a panic. After a failure
/// the state of the namespace is printed first.
///
/// # Errors
///
/// Those of the test, and of making the namespace.
pub async fn in_namespace(
    test: &'static str,
    company: Company,
    body: impl AsyncFnOnce(&Testbed) -> Result<()>,
) -> Result<(), Failure> {
    in_namespace_within(TEST_LIMIT, test, company, body).await
}

/// [`in_namespace`], for what may take another time.
///
/// # Errors
///
/// Those of the test, and of making the namespace.
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

/// [`in_namespace`], with a second namespace beside the first.
///
/// # Errors
///
/// Those of the test, and of making the namespaces.
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
    // A test that waits for its turn holds nothing that others wait for: the load first.
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

/// What an earlier run left that was killed: namespaces, which would hold on to the nodes' room for
/// pods, and addons that it had taken away.
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

/// A name for this run of the suite.
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

    /// Prints one line of what the test measured.
    pub fn report(&self, text: &str) {
        report::line(self.test, text);
    }

    /// Applies a manifest into the namespace.
    ///
    /// # Errors
    ///
    /// What the API server says.
    pub async fn apply(&self, manifest: &Value) -> Result<Value> {
        self.cluster.apply(Some(&self.namespace), manifest).await
    }

    /// Merges a change into an object of the namespace.
    ///
    /// # Errors
    ///
    /// What the API server says.
    pub async fn merge(&self, kind: Kind, name: &str, change: &Value) -> Result<Value> {
        self.cluster
            .merge(&self.namespace, kind, name, change)
            .await
    }

    /// An object of the namespace that must be there.
    ///
    /// # Errors
    ///
    /// What the API server says, or that there is none.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Value> {
        self.cluster.get(&self.namespace, kind, name).await
    }

    /// An object of the namespace, or none.
    ///
    /// # Errors
    ///
    /// What the API server says, except that there is none.
    pub async fn find(&self, kind: Kind, name: &str) -> Result<Option<Value>> {
        self.cluster.find(&self.namespace, kind, name).await
    }

    /// Begins to delete an object of the namespace.
    ///
    /// # Errors
    ///
    /// What the API server says.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        self.cluster.delete(Some(&self.namespace), kind, name).await
    }

    /// Makes a ConfigMap of files.
    ///
    /// # Errors
    ///
    /// What the API server says.
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

    /// Applies a ModelService whose model is one of `examples/models`, with the ConfigMap that it
    /// names, and gives its name.
    ///
    /// # Errors
    ///
    /// What the API server says.
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

    /// [`serve`](Self::serve), and waits until it is Ready; reports the time.
    ///
    /// # Errors
    ///
    /// What the API server says, or that it didn't become Ready in time.
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
    /// That it didn't become Ready in time.
    pub async fn until_ready(&self, name: &str) -> Result<Waited<()>> {
        self.until_condition(name, "Ready", "True", READY_LIMIT)
            .await
    }

    /// Waits until a condition of a ModelService, observed in its current generation, has a status.
    ///
    /// # Errors
    ///
    /// That it didn't in time.
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
    /// That it didn't in time.
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

    /// Waits until a condition of a ModelService, observed in its current generation, is as `is_it` wants it.
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

    /// Waits until an object of the namespace is there, and gives it.
    ///
    /// # Errors
    ///
    /// That it wasn't in time.
    pub async fn until_there(&self, kind: Kind, name: &str, limit: Duration) -> Result<Value> {
        let waited = wait::until(&format!("{} {name}", kind.name), limit, async || {
            let found = self.find(kind, name).await?;
            Ok(found.map_or_else(|| Look::NotYet("none".to_owned()), Look::Seen))
        })
        .await?;
        Ok(waited.value)
    }

    /// Waits until something is found in the decisions of a ModelService, which are the newest first.
    ///
    /// # Errors
    ///
    /// That it wasn't in time.
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
    /// What the API server says.
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
    /// Where the API server can't be reached. An answer of any status is an answer.
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

/// A condition of an object, where it has one.
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

/// The replicas that a Deployment wants.
#[must_use]
pub fn replicas(deployment: &Value) -> i64 {
    number(deployment, "/spec/replicas")
}
