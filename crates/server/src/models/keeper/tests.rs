use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use springtide_batching::Policy as Batching;
use springtide_inference::Tensor;
use springtide_inference::onnx::LoadError;

use super::*;
use crate::models::probe::ProbeFailure;
use crate::models::repository::{IndexEntry, LookupError, State};
use crate::models::testing::{FakeBackend, loaded};

const MAX_ROWS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Loads what reads `good`; what reads `bad` fails. `hazardous` and `crashing` are to be tried apart, where
/// the latter crashes.
#[derive(Default)]
struct FakeLoader {
    loaded: Mutex<Vec<PathBuf>>,
    /// What was tried apart.
    tried: Mutex<Vec<PathBuf>>,
    /// As if the file system were away.
    away: AtomicBool,
}

impl Load for FakeLoader {
    fn load(&self, file: &Path, trust: Trust) -> Result<Loaded, ModelError> {
        self.loaded.lock().unwrap().push(file.to_owned());
        if self.away.load(Ordering::Relaxed) {
            return Err(ModelError::Missing(file.display().to_string()));
        }
        match &*fs::read_to_string(file).unwrap() {
            "good" => Ok(loaded(FakeBackend::classifier(), MAX_ROWS)),
            "panic" => panic!("as asked for"),
            "hazardous" if trust == Trust::Tried => Ok(loaded(FakeBackend::classifier(), MAX_ROWS)),
            "hazardous" | "crashing" => {
                assert_eq!(trust, Trust::Nothing, "loaded though it crashed");
                Err(LoadError::Hazardous("a node".to_owned()).into())
            }
            said if said.starts_with("says ") => Err(LoadError::Model(said.to_owned()).into()),
            _ => {
                let message = format!("no model: {}", file.display());
                Err(LoadError::Model(message).into())
            }
        }
    }

    fn try_apart(&self, file: &Path, _: Stamp) -> Result<(), ProbeFailure> {
        self.tried.lock().unwrap().push(file.to_owned());
        match &*fs::read_to_string(file).unwrap() {
            "hazardous" => Ok(()),
            _ => Err(ProbeFailure::Crashed { signal: 8 }),
        }
    }
}

struct Bed {
    root: tempfile::TempDir,
    loader: Arc<FakeLoader>,
    repository: Arc<Repository>,
    metrics: Arc<Metrics>,
    keeper: Keeper,
    deaths: mpsc::Receiver<WorkerDied>,
    /// Counts the changes, so that each has a time of its own.
    changes: u64,
}

impl Bed {
    fn new(versions: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let loader = Arc::<FakeLoader>::default();
        let repository = Arc::new(Repository::new(None));
        let metrics = Arc::new(Metrics::new(None, None).unwrap());
        let (died, deaths) = mpsc::channel(1);
        let policy = Policy {
            versions: NonZeroUsize::new(versions).unwrap(),
            batching: Config {
                sharing: springtide_batching::Sharing::Alone,
                policy: Batching::Window(Duration::from_secs(60)),
                max_rows: MAX_ROWS,
                max_queue_rows: NonZeroUsize::new(100).unwrap(),
                objective: None,
            },
        };
        let keeper = Keeper::new(
            Source::Directory(root.path().to_owned()),
            policy,
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
            keeper,
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

    async fn look(&mut self) {
        self.keeper.look().await.unwrap();
    }

    /// Waits for all trials.
    async fn try_all(&mut self) -> Vec<String> {
        let mut failures = Vec::new();
        while self.keeper.is_trying() {
            self.keeper.trial_ended().await;
            failures.extend(self.keeper.after_trial().await);
        }
        failures.iter().map(ToString::to_string).collect()
    }

    fn tries(&self) -> usize {
        self.loader.tried.lock().unwrap().len()
    }

    /// Looks until what has changed is no longer fresh.
    async fn settle(&mut self) {
        self.look().await;
        self.look().await;
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
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.write("m/2", "good");
    bed.write("m/10", "bad");
    bed.look().await;
    let expected = [("m/10", State::Unavailable), ("m/2", State::Ready)];
    assert_eq!(bed.states(), states(expected));
    assert_eq!(bed.version().unwrap(), "2");
    assert_eq!(bed.repository.default_model().unwrap().version(), "2");
}

#[tokio::test]
async fn a_new_version_takes_over_and_whoever_found_the_old_one_is_answered() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.look().await;
    let old = bed.repository.find("m", None).unwrap();
    // Waits for its batch to fill, for longer than this test takes.
    let waiting = tokio::spawn({
        let old = Arc::clone(&old);
        async move { infer(&old).await }
    });
    while old.waiting_rows() == 0 {
        tokio::task::yield_now().await;
    }
    bed.write("m/2", "good");
    bed.look().await;
    assert_eq!(bed.version().unwrap(), "1", "it may still be written");
    bed.look().await;
    assert_eq!(bed.version().unwrap(), "2");
    assert_eq!(bed.states(), states([("m/2", State::Ready)]));
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
    let unknown = bed.repository.find("m", Some("1")).err().unwrap();
    assert!(matches!(unknown, LookupError::UnknownVersion { .. }));
}

#[tokio::test]
async fn a_bad_new_version_leaves_the_old_one_says_why_and_is_tried_once() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.look().await;
    bed.write("m/2", "bad");
    bed.settle().await;
    bed.settle().await;
    assert_eq!(bed.version().unwrap(), "1");
    let bad = bed.entry("2");
    assert_eq!(bad.state, State::Unavailable);
    let expected = "ONNX Runtime can't load the model: no model: model.onnx";
    assert_eq!(bad.reason, expected, "no paths");
    let refused = bed.repository.find("m", Some("2")).err().unwrap();
    assert!(matches!(refused, LookupError::Unavailable { .. }));
    assert_eq!(bed.loader.loaded.lock().unwrap().len(), 2);
    let text = bed.metrics.text(&bed.repository.snapshot()).unwrap();
    let line = "ml_model_info{model=\"m\",state=\"unavailable\",version=\"2\"} 1";
    assert!(text.contains(line), "{text}");
    bed.write("m/2", "good");
    bed.settle().await;
    assert_eq!(bed.version().unwrap(), "2");
}

#[tokio::test]
async fn a_reason_is_bounded_on_one_line_and_controls_no_terminal() {
    let mut bed = Bed::new(1);
    let said = format!("says \0a\n\u{202e}b\u{9b}\u{2028}{}", "c".repeat(10_000));
    bed.write("m/1", &said);
    bed.look().await;
    let reason = bed.entry("1").reason;
    assert!(
        reason.contains("says \u{fffd}a \u{fffd}b\u{fffd} ccc"),
        "{reason:?}"
    );
    assert!(reason.len() <= MAX_MESSAGE && reason.ends_with("c…"));
}

#[tokio::test]
async fn content_that_goes_bad_leaves_the_old_content_serving() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.look().await;
    bed.write("m/1", "panic");
    bed.settle().await;
    let entry = bed.entry("1");
    assert_eq!(entry.state, State::Ready);
    assert_eq!(entry.reason, "loading the model panicked");
    assert!(bed.version().is_ok());
}

#[tokio::test]
async fn several_versions_serve_when_asked_for() {
    let mut bed = Bed::new(2);
    for version in ["m/1", "m/2", "m/3"] {
        bed.write(version, "good");
    }
    bed.look().await;
    let expected = [("m/2", State::Ready), ("m/3", State::Ready)];
    assert_eq!(bed.states(), states(expected));
    assert_eq!(bed.version().unwrap(), "3");
    let older = bed.repository.find("m", Some("2")).unwrap();
    assert_eq!(older.version(), "2");
}

#[tokio::test]
async fn a_removed_model_goes_with_its_series_and_its_threads() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.write("n/1", "good");
    bed.look().await;
    let text = |bed: &Bed| bed.metrics.text(&bed.repository.snapshot()).unwrap();
    assert!(text(&bed).contains("model=\"n\""));
    bed.remove("n");
    bed.settle().await;
    assert_eq!(bed.states(), states([("m/1", State::Ready)]));
    assert!(!text(&bed).contains("model=\"n\""), "{}", text(&bed));
    let unknown = bed.repository.find("n", None).err().unwrap();
    assert_eq!(unknown, LookupError::UnknownModel("n".to_owned()));
    let Bed {
        keeper,
        repository,
        mut deaths,
        ..
    } = bed;
    drop((keeper, repository));
    let died = tokio::time::timeout(Duration::from_secs(60), deaths.recv()).await;
    assert_eq!(
        died.unwrap(),
        None,
        "all threads have ended, none by a panic"
    );
}

#[tokio::test]
async fn a_directory_that_is_suddenly_empty_changes_nothing() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.write("n/1", "good");
    bed.look().await;
    bed.remove("m");
    bed.remove("n");
    bed.settle().await;
    let expected = [("m/1", State::Ready), ("n/1", State::Ready)];
    assert_eq!(bed.states(), states(expected));
}

#[tokio::test]
async fn what_could_not_be_read_is_tried_again_at_each_look_and_once_only() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.loader.away.store(true, Ordering::Relaxed);
    bed.look().await;
    bed.look().await;
    assert_eq!(bed.loader.loaded.lock().unwrap().len(), 2);
    assert_eq!(bed.states(), states([("m/1", State::Unavailable)]));
    bed.loader.away.store(false, Ordering::Relaxed);
    bed.look().await;
    assert_eq!(bed.states(), states([("m/1", State::Ready)]));
}

#[tokio::test]
async fn a_directory_that_can_not_be_read_changes_nothing() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.look().await;
    let hidden = bed.root.path().with_extension("away");
    fs::rename(bed.root.path(), &hidden).unwrap();
    assert!(bed.keeper.look().await.is_err());
    assert_eq!(bed.states(), states([("m/1", State::Ready)]));
    fs::rename(&hidden, bed.root.path()).unwrap();
    bed.look().await;
    assert_eq!(bed.loader.loaded.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_preferred_model_is_the_default_and_without_one_there_must_be_one_only() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.write("n/1", "good");
    bed.look().await;
    let several = bed.repository.default_model().err().unwrap();
    assert_eq!(several, LookupError::Several);
    let preferring = Repository::new(Some("n".parse().unwrap()));
    let missing = preferring.default_model().err().unwrap();
    assert_eq!(missing, LookupError::NothingServes);
    for model in bed.repository.serving() {
        let name: ModelName = model.name().parse().unwrap();
        let stamp = crate::models::testing::stamp(1);
        preferring.install(&name, model, stamp);
    }
    assert_eq!(preferring.default_model().unwrap().name(), "n");
}

#[tokio::test]
async fn what_is_nearly_right_is_told_until_it_is_right() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.write("n/001", "good");
    bed.look().await;
    let advice = "rename the folder 001 to 1";
    let expected = IndexEntry {
        name: "n".to_owned(),
        version: "001".to_owned(),
        state: State::Unavailable,
        reason: advice.to_owned(),
    };
    assert_eq!(bed.repository.index()[1..], [expected]);
    let reason = |bed: &Bed, name: &str, version| match bed.repository.find(name, version) {
        Err(LookupError::Unavailable { reason, .. }) => Some(reason),
        _ => None,
    };
    for version in [None, Some("001"), Some("1")] {
        assert_eq!(reason(&bed, "n", version).as_deref(), Some(advice));
    }
    let unknown = bed.repository.find("o", None).err().unwrap();
    assert_eq!(unknown, LookupError::UnknownModel("o".to_owned()));

    let folder = |version: &str| bed.root.path().join(version);
    fs::rename(folder("n/001"), folder("n/1")).unwrap();
    bed.settle().await;
    let both = [("m/1", State::Ready), ("n/1", State::Ready)];
    assert_eq!(bed.states(), states(both));
    assert_eq!(reason(&bed, "n", Some("001")), None);

    // Beside a version that serves; at first it may only be on its way.
    bed.write("m/v2", "good");
    bed.look().await;
    assert_eq!(bed.states(), states(both));
    bed.look().await;
    let advice = "rename the folder v2 to 2";
    assert_eq!(reason(&bed, "m", Some("v2")).as_deref(), Some(advice));
    assert_eq!(reason(&bed, "m", Some("3")), None);
    assert_eq!(bed.version().unwrap(), "1");
}

#[tokio::test]
async fn a_version_that_serves_and_has_lost_its_model_file_is_in_the_index_once() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.write("m/2", "bad");
    bed.look().await;
    fs::remove_file(bed.root.path().join("m/1/model.onnx")).unwrap();
    bed.settle().await;
    let expected = [("m/1", State::Ready), ("m/2", State::Unavailable)];
    assert_eq!(bed.states(), states(expected));
    assert_eq!(bed.repository.index().len(), 2);
}

#[tokio::test]
async fn a_model_of_the_same_size_and_time_takes_the_place_of_the_one_that_serves() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.look().await;
    let old = bed.repository.find("m", None).unwrap();
    let file = bed.root.path().join("m/1/model.onnx");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let new = bed.root.path().join(".new");
    fs::write(&new, "good").unwrap();
    let opened = fs::File::options().write(true).open(&new).unwrap();
    opened.set_modified(time).unwrap();
    fs::rename(&new, &file).unwrap();
    bed.settle().await;
    assert!(!Arc::ptr_eq(&old, &bed.repository.find("m", None).unwrap()));
}

#[tokio::test]
async fn what_takes_the_place_of_a_model_that_was_tried_is_tried_too() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "hazardous");
    bed.look().await;
    bed.keeper.trial_ended().await;
    // It passed, and isn't loaded yet.
    bed.write("m/1", "crashing");
    assert!(bed.keeper.after_trial().await.is_empty());
    assert!(bed.keeper.is_trying());
    let failures = bed.try_all().await;
    assert!(failures[0].contains("ended its process"), "{failures:?}");
    assert_eq!(bed.states(), states([("m/1", State::Unavailable)]));
    bed.write("m/1", "hazardous");
    bed.settle().await;
    bed.try_all().await;
    assert_eq!(bed.states(), states([("m/1", State::Ready)]));
}

#[tokio::test]
async fn hazardous_models_are_tried_apart_and_others_serve_meanwhile() {
    let mut bed = Bed::new(1);
    bed.write("a/1", "hazardous");
    bed.write("b/1", "good");
    bed.write("c/1", "hazardous");
    bed.look().await;
    assert!(bed.keeper.is_trying());
    let loading = [
        ("a/1", State::Loading),
        ("b/1", State::Ready),
        ("c/1", State::Loading),
    ];
    assert_eq!(bed.states(), states(loading));
    // A look meanwhile begins no second trial.
    bed.look().await;
    assert_eq!(bed.states(), states(loading));
    assert_eq!(bed.try_all().await, [""; 0]);
    assert_eq!(bed.tries(), 2);
    let ready = ["a/1", "b/1", "c/1"].map(|version| (version, State::Ready));
    assert_eq!(bed.states(), states(ready));
}

#[tokio::test]
async fn a_version_that_crashes_when_it_is_tried_stays_out_until_it_changes() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.write("m/2", "crashing");
    bed.look().await;
    assert_eq!(bed.version().unwrap(), "1", "while the other is tried");
    let failures = bed.try_all().await;
    assert!(failures[0].contains("signal 8: a node"), "{failures:?}");
    let entry = bed.entry("2");
    assert_eq!(entry.state, State::Unavailable);
    assert!(entry.reason.contains("signal 8"), "{}", entry.reason);
    bed.settle().await;
    assert!(!bed.keeper.is_trying());
    assert_eq!(bed.tries(), 1);
    bed.write("m/2", "hazardous");
    bed.settle().await;
    assert_eq!(bed.version().unwrap(), "1");
    assert_eq!(bed.try_all().await, [""; 0]);
    assert_eq!(bed.version().unwrap(), "2");
    assert_eq!(bed.states(), states([("m/2", State::Ready)]));
}

#[tokio::test]
async fn what_is_removed_or_changed_while_it_is_tried_is_of_no_interest() {
    let mut bed = Bed::new(1);
    bed.write("m/1", "good");
    bed.write("m/2", "crashing");
    bed.look().await;
    bed.remove("m/2");
    bed.settle().await;
    assert!(!bed.keeper.is_trying());
    bed.keeper.trial_ended().await;
    assert!(bed.keeper.after_trial().await.is_empty());
    assert_eq!(bed.states(), states([("m/1", State::Ready)]));

    bed.write("m/2", "crashing");
    bed.settle().await;
    bed.write("m/2", "good");
    bed.settle().await;
    assert_eq!(bed.version().unwrap(), "2");
    assert_eq!(bed.try_all().await, [""; 0]);
    assert_eq!(bed.states(), states([("m/2", State::Ready)]));
}
