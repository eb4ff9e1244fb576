mod isolated_loads;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use springtide_batching::Policy;
use springtide_inference::Tensor;
use springtide_inference::onnx::LoadError;

use super::*;
use crate::models::isolation::IsolatedLoadFailure;
use crate::models::repository::{IndexEntry, LookupError, State};
use crate::models::testing::{FakeBackend, loaded};

const MAX_ROWS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Loads what reads `good`; what reads `bad` fails. `hazardous` and `crashing` are to be tried apart, where
/// the latter crashes.
#[derive(Default)]
struct FakeLoader {
    loaded: Mutex<Vec<PathBuf>>,
    /// What was tried apart.
    isolated: Mutex<Vec<PathBuf>>,
    /// As if the file system were away.
    away: AtomicBool,
}

impl ModelLoader for FakeLoader {
    fn load(&self, file: &Path, hazards: HazardPolicy) -> Result<LoadedModel, ModelLoadError> {
        self.loaded.lock().unwrap().push(file.to_owned());
        if self.away.load(Ordering::Relaxed) {
            return Err(ModelLoadError::Missing(file.display().to_string()));
        }
        match &*fs::read_to_string(file).unwrap() {
            "good" => Ok(loaded(FakeBackend::classifier(), MAX_ROWS)),
            "panic" => panic!("as asked for"),
            "hazardous" if hazards == HazardPolicy::Allow => {
                Ok(loaded(FakeBackend::classifier(), MAX_ROWS))
            }
            "hazardous" | "crashing" => {
                assert_eq!(hazards, HazardPolicy::Reject, "loaded though it crashed");
                Err(LoadError::Hazardous("a node".to_owned()).into())
            }
            said if said.starts_with("says ") => Err(LoadError::Model(said.to_owned()).into()),
            _ => {
                let message = format!("no model: {}", file.display());
                Err(LoadError::Model(message).into())
            }
        }
    }

    fn load_isolated(&self, file: &Path, _: Fingerprint) -> Result<(), IsolatedLoadFailure> {
        self.isolated.lock().unwrap().push(file.to_owned());
        match &*fs::read_to_string(file).unwrap() {
            "hazardous" => Ok(()),
            _ => Err(IsolatedLoadFailure::Crashed { signal: 8 }),
        }
    }
}

struct Fixture {
    root: tempfile::TempDir,
    loader: Arc<FakeLoader>,
    repository: Arc<Repository>,
    metrics: Arc<Metrics>,
    manager: ModelManager,
    deaths: mpsc::Receiver<WorkerDied>,
    /// Counts the changes, so that each has a time of its own.
    changes: u64,
}

impl Fixture {
    fn new(versions: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let loader = Arc::<FakeLoader>::default();
        let repository = Arc::new(Repository::new(None));
        let metrics = Arc::new(Metrics::new(None, None).unwrap());
        let (died, deaths) = mpsc::channel(1);
        let config = ManagerConfig {
            versions: NonZeroUsize::new(versions).unwrap(),
            batching: Config {
                sharing: springtide_batching::Sharing::Alone,
                policy: Policy::Window(Duration::from_secs(60)),
                max_rows: MAX_ROWS,
                max_queue_rows: NonZeroUsize::new(100).unwrap(),
                objective: None,
            },
        };
        let manager = ModelManager::new(
            ModelSource::Directory(root.path().to_owned()),
            config,
            Arc::<FakeLoader>::clone(&loader),
            Arc::clone(&repository),
            Arc::clone(&metrics),
            died,
        );
        Self {
            root,
            loader,
            repository,
            metrics,
            manager,
            deaths,
            changes: 0,
        }
    }

    fn write(&mut self, version: &str, content: &str) {
        let folder = self.root.path().join(version);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("model.onnx");
        fs::write(&path, content).unwrap();
        self.changes += 1;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.changes);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_dir_all(self.root.path().join(path)).unwrap();
    }

    async fn sync(&mut self) {
        self.manager.sync().await.unwrap();
    }

    /// Waits for all trials.
    async fn try_all(&mut self) -> Vec<String> {
        let mut failures = Vec::new();
        while self.manager.has_pending_loads() {
            self.manager.isolated_load_ended().await;
            failures.extend(self.manager.finish_isolated_load().await);
        }
        failures.iter().map(ToString::to_string).collect()
    }

    fn isolated_loads(&self) -> usize {
        self.loader.isolated.lock().unwrap().len()
    }

    /// Looks until what has changed is no longer fresh.
    async fn settle(&mut self) {
        self.sync().await;
        self.sync().await;
    }

    /// States of the known versions.
    fn states(&self) -> BTreeMap<String, State> {
        let entries = self.repository.index().into_iter();
        entries
            .map(|entry| (format!("{}/{}", entry.name, entry.version), entry.state))
            .collect()
    }

    fn entry(&self, version: &str) -> IndexEntry {
        let mut index = self.repository.index().into_iter();
        index.find(|entry| entry.version == version).unwrap()
    }

    fn version(&self) -> Result<String, LookupError> {
        let model = self.repository.find("m", None)?;
        Ok(model.version().to_owned())
    }
}

fn states<const N: usize>(expected: [(&str, State); N]) -> BTreeMap<String, State> {
    expected
        .map(|(version, state)| (version.to_owned(), state))
        .into()
}

async fn infer(model: &Model) -> i64 {
    let input = Tensor::new(vec![1, 2], vec![7.0_f32, 0.0]).unwrap();
    let checked = model.check(vec![input], vec![]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let inferred = model.infer(checked, deadline).await.unwrap();
    let springtide_inference::DataView::I64(labels) = inferred.view(0).unwrap().data() else {
        panic!("not integers")
    };
    labels[0]
}

#[tokio::test]
async fn at_the_start_the_newest_version_that_loads_serves_at_once() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.write("m/2", "good");
    fixture.write("m/10", "bad");
    fixture.sync().await;
    let expected = [("m/10", State::Unavailable), ("m/2", State::Ready)];
    assert_eq!(fixture.states(), states(expected));
    assert_eq!(fixture.version().unwrap(), "2");
    assert_eq!(fixture.repository.default_model().unwrap().version(), "2");
}

#[tokio::test]
async fn a_new_version_takes_over_and_whoever_found_the_old_one_is_answered() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.sync().await;
    let old = fixture.repository.find("m", None).unwrap();
    // Waits for its batch to fill, for longer than this test takes.
    let waiting = tokio::spawn({
        let old = Arc::clone(&old);
        async move { infer(&old).await }
    });
    while old.waiting_rows() == 0 {
        tokio::task::yield_now().await;
    }
    fixture.write("m/2", "good");
    fixture.sync().await;
    assert_eq!(fixture.version().unwrap(), "1", "it may still be written");
    fixture.sync().await;
    assert_eq!(fixture.version().unwrap(), "2");
    assert_eq!(fixture.states(), states([("m/2", State::Ready)]));
    let late = tokio::spawn({
        let old = Arc::clone(&old);
        async move { infer(&old).await }
    });
    while old.waiting_rows() == 1 {
        tokio::task::yield_now().await;
    }
    old.flush();
    assert_eq!((waiting.await.unwrap(), late.await.unwrap()), (7, 7));
    drop(old);
    let unknown = fixture.repository.find("m", Some("1")).err().unwrap();
    assert!(matches!(unknown, LookupError::UnknownVersion { .. }));
}

#[tokio::test]
async fn a_bad_new_version_leaves_the_old_one_says_why_and_is_tried_once() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.sync().await;
    fixture.write("m/2", "bad");
    fixture.settle().await;
    fixture.settle().await;
    assert_eq!(fixture.version().unwrap(), "1");
    let bad = fixture.entry("2");
    assert_eq!(bad.state, State::Unavailable);
    let expected = "ONNX Runtime can't load the model: no model: model.onnx";
    assert_eq!(bad.reason, expected, "no paths");
    let refused = fixture.repository.find("m", Some("2")).err().unwrap();
    assert!(matches!(refused, LookupError::Unavailable { .. }));
    assert_eq!(fixture.loader.loaded.lock().unwrap().len(), 2);
    let text = fixture
        .metrics
        .text(&fixture.repository.snapshot())
        .unwrap();
    let line = "ml_model_info{model=\"m\",state=\"unavailable\",version=\"2\"} 1";
    assert!(text.contains(line), "{text}");
    fixture.write("m/2", "good");
    fixture.settle().await;
    assert_eq!(fixture.version().unwrap(), "2");
}

#[tokio::test]
async fn a_reason_is_bounded_on_one_line_and_controls_no_terminal() {
    let mut fixture = Fixture::new(1);
    let said = format!("says \0a\n\u{202e}b\u{9b}\u{2028}{}", "c".repeat(10_000));
    fixture.write("m/1", &said);
    fixture.sync().await;
    let reason = fixture.entry("1").reason;
    assert!(
        reason.contains("says \u{fffd}a \u{fffd}b\u{fffd} ccc"),
        "{reason:?}"
    );
    assert!(reason.len() <= MAX_MESSAGE && reason.ends_with("c…"));
}

#[tokio::test]
async fn content_that_goes_bad_leaves_the_old_content_serving() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.sync().await;
    fixture.write("m/1", "panic");
    fixture.settle().await;
    let entry = fixture.entry("1");
    assert_eq!(entry.state, State::Ready);
    assert_eq!(entry.reason, "loading the model panicked");
    assert!(fixture.version().is_ok());
}

#[tokio::test]
async fn several_versions_serve_when_asked_for() {
    let mut fixture = Fixture::new(2);
    for version in ["m/1", "m/2", "m/3"] {
        fixture.write(version, "good");
    }
    fixture.sync().await;
    let expected = [("m/2", State::Ready), ("m/3", State::Ready)];
    assert_eq!(fixture.states(), states(expected));
    assert_eq!(fixture.version().unwrap(), "3");
    let older = fixture.repository.find("m", Some("2")).unwrap();
    assert_eq!(older.version(), "2");
}

#[tokio::test]
async fn a_removed_model_goes_with_its_series_and_its_threads() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.write("n/1", "good");
    fixture.sync().await;
    let text = |fixture: &Fixture| {
        fixture
            .metrics
            .text(&fixture.repository.snapshot())
            .unwrap()
    };
    assert!(text(&fixture).contains("model=\"n\""));
    fixture.remove("n");
    fixture.settle().await;
    assert_eq!(fixture.states(), states([("m/1", State::Ready)]));
    assert!(
        !text(&fixture).contains("model=\"n\""),
        "{}",
        text(&fixture)
    );
    let unknown = fixture.repository.find("n", None).err().unwrap();
    assert_eq!(unknown, LookupError::UnknownModel("n".to_owned()));
    let Fixture {
        manager,
        repository,
        mut deaths,
        ..
    } = fixture;
    drop((manager, repository));
    let died = tokio::time::timeout(Duration::from_secs(60), deaths.recv()).await;
    assert_eq!(
        died.unwrap(),
        None,
        "all threads have ended, none by a panic"
    );
}

#[tokio::test]
async fn a_directory_that_is_suddenly_empty_changes_nothing() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.write("n/1", "good");
    fixture.sync().await;
    fixture.remove("m");
    fixture.remove("n");
    fixture.settle().await;
    let expected = [("m/1", State::Ready), ("n/1", State::Ready)];
    assert_eq!(fixture.states(), states(expected));
}

#[tokio::test]
async fn what_could_not_be_read_is_tried_again_at_each_look_and_once_only() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.loader.away.store(true, Ordering::Relaxed);
    fixture.sync().await;
    fixture.sync().await;
    assert_eq!(fixture.loader.loaded.lock().unwrap().len(), 2);
    assert_eq!(fixture.states(), states([("m/1", State::Unavailable)]));
    fixture.loader.away.store(false, Ordering::Relaxed);
    fixture.sync().await;
    assert_eq!(fixture.states(), states([("m/1", State::Ready)]));
}

#[tokio::test]
async fn a_directory_that_can_not_be_read_changes_nothing() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.sync().await;
    let hidden = fixture.root.path().with_extension("away");
    fs::rename(fixture.root.path(), &hidden).unwrap();
    assert!(fixture.manager.sync().await.is_err());
    assert_eq!(fixture.states(), states([("m/1", State::Ready)]));
    fs::rename(&hidden, fixture.root.path()).unwrap();
    fixture.sync().await;
    assert_eq!(fixture.loader.loaded.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_preferred_model_is_the_default_and_without_one_there_must_be_one_only() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.write("n/1", "good");
    fixture.sync().await;
    let several = fixture.repository.default_model().err().unwrap();
    assert_eq!(several, LookupError::Several);
    let preferring = Repository::new(Some("n".parse().unwrap()));
    let missing = preferring.default_model().err().unwrap();
    assert_eq!(missing, LookupError::NothingServes);
    for model in fixture.repository.serving() {
        let name: ModelName = model.name().parse().unwrap();
        let fingerprint = crate::models::testing::fingerprint(1);
        preferring.install(&name, model, fingerprint);
    }
    assert_eq!(preferring.default_model().unwrap().name(), "n");
}

#[tokio::test]
async fn what_is_nearly_right_is_told_until_it_is_right() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.write("n/001", "good");
    fixture.sync().await;
    let advice = "rename the folder 001 to 1";
    let expected = IndexEntry {
        name: "n".to_owned(),
        version: "001".to_owned(),
        state: State::Unavailable,
        reason: advice.to_owned(),
    };
    assert_eq!(fixture.repository.index()[1..], [expected]);
    let reason =
        |fixture: &Fixture, name: &str, version| match fixture.repository.find(name, version) {
            Err(LookupError::Unavailable { reason, .. }) => Some(reason),
            _ => None,
        };
    for version in [None, Some("001"), Some("1")] {
        assert_eq!(reason(&fixture, "n", version).as_deref(), Some(advice));
    }
    let unknown = fixture.repository.find("o", None).err().unwrap();
    assert_eq!(unknown, LookupError::UnknownModel("o".to_owned()));

    let folder = |version: &str| fixture.root.path().join(version);
    fs::rename(folder("n/001"), folder("n/1")).unwrap();
    fixture.settle().await;
    let both = [("m/1", State::Ready), ("n/1", State::Ready)];
    assert_eq!(fixture.states(), states(both));
    assert_eq!(reason(&fixture, "n", Some("001")), None);

    // Beside a version that serves; at first it may only be on its way.
    fixture.write("m/v2", "good");
    fixture.sync().await;
    assert_eq!(fixture.states(), states(both));
    fixture.sync().await;
    let advice = "rename the folder v2 to 2";
    assert_eq!(reason(&fixture, "m", Some("v2")).as_deref(), Some(advice));
    assert_eq!(reason(&fixture, "m", Some("3")), None);
    assert_eq!(fixture.version().unwrap(), "1");
}

#[tokio::test]
async fn a_version_that_serves_and_has_lost_its_model_file_is_in_the_index_once() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.write("m/2", "bad");
    fixture.sync().await;
    fs::remove_file(fixture.root.path().join("m/1/model.onnx")).unwrap();
    fixture.settle().await;
    let expected = [("m/1", State::Ready), ("m/2", State::Unavailable)];
    assert_eq!(fixture.states(), states(expected));
    assert_eq!(fixture.repository.index().len(), 2);
}

#[tokio::test]
async fn a_model_of_the_same_size_and_time_takes_the_place_of_the_one_that_serves() {
    let mut fixture = Fixture::new(1);
    fixture.write("m/1", "good");
    fixture.sync().await;
    let old = fixture.repository.find("m", None).unwrap();
    let file = fixture.root.path().join("m/1/model.onnx");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let new = fixture.root.path().join(".new");
    fs::write(&new, "good").unwrap();
    let opened = fs::File::options().write(true).open(&new).unwrap();
    opened.set_modified(time).unwrap();
    fs::rename(&new, &file).unwrap();
    fixture.settle().await;
    assert!(!Arc::ptr_eq(
        &old,
        &fixture.repository.find("m", None).unwrap()
    ));
}
