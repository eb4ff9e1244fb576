//! A model file and the sessions that run it.

use std::io::Cursor;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, ValueType};
use springtide_rows::{Analysis, Candidates, Finding, Hazard, MAXIMUM_HAZARDS, Verdict};

use super::edited_model::{EditedModel, read};
use super::error_text;
use super::external_data::{ExternalDataError, LinkPolicy, Located, are_read, locate};
use super::integer_division;
use super::locale;
use super::metadata;
use super::model_file::{FileError, ModelFile};
use super::provider::Provider;
use super::runtime::Runtime;
use super::session::OnnxBackend;
use super::weights::SharedWeights;
use super::zipmap;
use crate::backend::Backend as _;
use crate::classifier::label_columns::Classes;
use crate::independence::varied_inputs;
use crate::signature::Signature;

/// The entry of a model's metadata with the names of its features.
const FEATURE_NAMES: &str = "feature_names";

/// A model that can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read or isn't a model.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is in the .ort format, which can name other files in ways that can't be checked.
    #[error("models in the .ort format aren't served: use the .onnx file that it was made of")]
    OrtFormat,
    /// It names external data that it may not use.
    #[error(transparent)]
    ExternalData(#[from] ExternalDataError),
    /// It needs a locale that isn't installed.
    #[error(
        "the model needs the locale {name}, which is not installed: install it (Debian and Ubuntu: \
         apt-get install locales && localedef -i {language} -f UTF-8 {name}), or set LOCPATH to a \
         folder that has it",
        language = name.split('.').next().unwrap_or_default()
    )]
    Locale {
        /// The locale.
        name: String,
    },
    /// One of its outputs is optional.
    #[error("the model's output {output} is optional, which isn't served")]
    OptionalOutput {
        /// The output.
        output: String,
    },
    /// No request can call it.
    #[error("the model can't be called: {0}")]
    NotCallable(String),
    /// It could crash the process, or use all of its time or memory, when it is loaded or run.
    #[error("the model could crash the process, or use all of its time or memory: {0}")]
    Hazardous(String),
    /// ONNX Runtime rejects it.
    #[error("ONNX Runtime can't load the model: {0}")]
    Model(String),
}

impl LoadError {
    /// Whether the same model may load later: a file could not be read.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::File(FileError::Read(_))
                | Self::ExternalData(ExternalDataError::Unreadable { .. })
        )
    }
}

/// A checked model file, for any number of sessions.
#[derive(Debug)]
pub struct OnnxModel {
    runtime: Runtime,
    path: PathBuf,
    provider: Provider,
    file: ModelFile,
    external: Located,
    /// The edited model, where ONNX Runtime doesn't accept the file.
    edited: Option<EditedModel>,
    analysis: ModelAnalysis,
    shared: Option<SharedWeights>,
}

/// Analysis of a model's graph.
#[derive(Debug)]
pub struct ModelAnalysis {
    /// Whether its rows are independent, and which nodes are hazardous.
    pub graph: Analysis,
    /// Constraints of valid inputs.
    pub candidates: Candidates,
    /// Names of the columns of outputs that hold class probabilities, by the outputs' names.
    pub classes: Vec<(String, Classes)>,
    /// Names of the features of its only input, as a JSON list: the entry `feature_names` of the model's metadata.
    pub feature_names: Option<String>,
}

impl ModelAnalysis {
    fn of(file: Bytes, classes: Vec<(String, Classes)>, feature_names: Option<String>) -> Self {
        match springtide_rows::Model::decode(file) {
            Ok(model) => Self {
                graph: springtide_rows::analyse(&model),
                candidates: springtide_rows::candidates(&model),
                classes,
                feature_names,
            },
            Err(error) => Self {
                graph: Analysis {
                    verdict: Verdict::Unknown(Finding {
                        node: String::new(),
                        operator: "model".to_owned(),
                        why: format!("can't be analysed: {error}"),
                        remedy: None,
                    }),
                    // A graph that isn't analysed could do anything.
                    hazards: vec![Hazard {
                        node: String::new(),
                        operator: "model".to_owned(),
                        why: "can't be analysed".to_owned(),
                    }],
                },
                candidates: Candidates::default(),
                classes,
                feature_names,
            },
        }
    }
}

/// What to do with a model whose graph has hazardous nodes: nodes that could end the process in ONNX
/// Runtime, or take all of its time or memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HazardPolicy {
    /// Refuse it.
    Reject,
    /// Open it: it was loaded in another process first, or the fault does no harm in this one.
    Allow,
}

impl OnnxModel {
    /// Reads a model file for `sessions` sessions on `provider`. `links` says where links to its external
    /// data may lead. Several sessions on the CPU share their weights where the outputs stay the same: two
    /// sessions are opened to compare them.
    ///
    /// # Errors
    /// When the file isn't a model, names files that it may not read, or ONNX Runtime rejects it.
    /// [`LoadError::Hazardous`] where it is hazardous and `hazards` rejects such models.
    pub fn open(
        runtime: &Runtime,
        path: &Path,
        links: &LinkPolicy,
        provider: Provider,
        sessions: NonZeroUsize,
        hazards: HazardPolicy,
    ) -> Result<Self, LoadError> {
        if path.extension().is_some_and(|extension| extension == "ort") {
            return Err(LoadError::OrtFormat);
        }
        let bytes = Bytes::from(read(path)?);
        let file = ModelFile::parse(Cursor::new(&bytes), bytes.len() as u64)?;
        let external = locate(path, links, &file.external)?;
        let (cut, classes) = match zipmap::cut(&bytes)? {
            Some(cut) => (Some(cut.file), cut.outputs),
            None => (None, Vec::new()),
        };
        let feature_names = metadata::entry(&bytes, FEATURE_NAMES)?;
        let mut model = Self {
            runtime: runtime.clone(),
            path: path.to_owned(),
            provider,
            file,
            external,
            edited: None,
            analysis: ModelAnalysis::of(bytes.clone(), classes, feature_names),
            shared: None,
        };
        if let Some(hazard) = model.analysis.graph.hazards.first()
            && hazards == HazardPolicy::Reject
        {
            return Err(LoadError::Hazardous(hazard.to_string()));
        }
        model.edited = model.edit(&bytes, cut)?;
        drop(bytes);
        if sessions > NonZeroUsize::MIN && provider == Provider::Cpu {
            model.share_weights()?;
        }
        Ok(model)
    }

    /// The analysis of its graph.
    #[must_use]
    pub const fn analysis(&self) -> &ModelAnalysis {
        &self.analysis
    }

    /// Whether the sessions share their weights.
    #[must_use]
    pub const fn shares_weights(&self) -> bool {
        self.shared.is_some()
    }

    /// Shares the weights between sessions, if the outputs stay the same.
    ///
    /// ONNX Runtime's optimizer transposes some weights in place, and then runs with the original ones: shared, they
    /// would give wrong numbers. Such weights are excluded. Since optimizers of other versions may differ, the outputs
    /// of a session with shared weights are compared with those of one without.
    fn share_weights(&mut self) -> Result<(), LoadError> {
        let Some(shared) = SharedWeights::read(&self.path, &self.file.weights)? else {
            return Ok(());
        };
        let mut alone = self.session(NonZeroUsize::MIN)?;
        let Some(inputs) = varied_inputs(alone.signature()) else {
            return Ok(());
        };
        let inputs: Vec<_> = inputs.iter().collect();
        let Ok(expected) = alone.try_run(&inputs) else {
            return Ok(());
        };
        drop(alone);
        self.shared = Some(shared);
        let given = self
            .session(NonZeroUsize::MIN)
            .map(|mut session| session.try_run(&inputs));
        if !matches!(given, Ok(Ok(given)) if given == expected) {
            tracing::info!("the model's sessions can't share their weights");
            self.shared = None;
        }
        Ok(())
    }

    /// Opens a session with `threads` CPU threads.
    ///
    /// # Errors
    /// When ONNX Runtime rejects the model.
    pub fn session(&self, threads: NonZeroUsize) -> Result<OnnxBackend, LoadError> {
        let refused = |error: ort::Error| LoadError::Model(error_text(&error.to_string()));
        let session = self.commit(threads).map_err(refused)?;
        // ort panics on an output without a value.
        let optional = |outlet: &&Outlet| matches!(outlet.dtype(), ValueType::Optional(_));
        if let Some(outlet) = session.outputs().iter().find(optional) {
            return Err(LoadError::OptionalOutput {
                output: outlet.name().to_owned(),
            });
        }
        let backend = OnnxBackend::new(session, &self.file.unranked).map_err(refused)?;
        check_callable(backend.signature())?;
        Ok(backend)
    }

    fn commit(&self, threads: NonZeroUsize) -> ort::Result<Session> {
        let mut builder = self.builder(threads)?;
        match &self.edited {
            Some(edited) => edited.commit(builder),
            None => builder.commit_from_file(&self.path),
        }
    }

    /// The model with all edits that it needs. `cut` is the model without ZipMaps, if it had any. None where ONNX
    /// Runtime accepts the file.
    fn edit(
        &mut self,
        file: &Bytes,
        cut: Option<Vec<u8>>,
    ) -> Result<Option<EditedModel>, LoadError> {
        let localized = self.with_locales(cut.as_deref().unwrap_or(file))?;
        let finds_data = || are_read(&self.path, &self.external);
        let edited = localized.or(cut);
        let hazards = &self.analysis.graph.hazards;
        if let Some(guarded) =
            integer_division::guarded(edited.as_deref().unwrap_or(file), hazards)?
            && let Some(edited) = EditedModel::new(guarded.model, &self.external)?
        {
            // Divisions of types and operator sets that the guard's operators don't support stay unguarded.
            let builder = self.builder(NonZeroUsize::MIN);
            if builder.is_ok_and(|builder| edited.commit(builder).is_ok()) {
                let hazards = &mut self.analysis.graph.hazards;
                if hazards.len() < MAXIMUM_HAZARDS {
                    hazards.retain(|hazard| !guarded.divisions.contains(hazard));
                }
                return Ok(Some(edited));
            }
        }
        match edited {
            Some(edited) => Ok(EditedModel::new(edited, &self.external)?),
            None if finds_data() => Ok(None),
            None => Ok(EditedModel::new(file.to_vec(), &self.external)?),
        }
    }

    /// The model with substitutes for missing locales. Without them some sessions open, and fail in each run.
    fn with_locales(&self, model: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
        if !self.file.changes_case {
            return Ok(None);
        }
        let wanted = locale::wanted(model)?.into_iter();
        let missing: Vec<String> = wanted.filter(|name| !self.has_locale(name)).collect();
        let foreign = missing.iter().find(|name| !locale::is_american(name));
        let Some(name) = foreign.or(missing.first()).cloned() else {
            return Ok(None);
        };
        let mut substitutes = locale::SUBSTITUTES.iter();
        match substitutes.find(|substitute| self.has_locale(substitute)) {
            Some(substitute) if foreign.is_none() => {
                Ok(locale::with_substitute(model, substitute)?)
            }
            _ => Err(LoadError::Locale { name }),
        }
    }

    fn has_locale(&self, name: &str) -> bool {
        let probe = || {
            // A missing locale is no error here.
            Session::builder(self.runtime.environment())?
                .with_log_level(LogLevel::Fatal)?
                .commit_from_memory(&locale::test_model(name))
        };
        probe().is_ok()
    }

    fn builder(&self, threads: NonZeroUsize) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(self.runtime.environment())?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads.get())?
            .with_inter_threads(1)?
            // A spinning thread uses up the CPU quota of the next batch. Without a quota it takes CPU
            // time from the threads of HTTP and from other pods. It would save only microseconds of
            // wake-up between consecutive batches.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_execution_providers(self.provider.dispatches())?;
        match &self.shared {
            Some(shared) => shared.add_to(builder),
            None => Ok(builder),
        }
    }
}

/// Checks that requests can carry the inputs, and responses some of the outputs.
fn check_callable(signature: &Signature) -> Result<(), LoadError> {
    let mut required = signature.required_inputs();
    if let Some(port) = required.find(|port| port.element().is_none()) {
        return Err(LoadError::NotCallable(format!(
            "its input {port} is no tensor of a type that requests can carry; export the model with \
             tensor inputs"
        )));
    }
    if signature.tensor_outputs().next().is_none() {
        let outputs: Vec<String> = signature.outputs.iter().map(ToString::to_string).collect();
        return Err(LoadError::NotCallable(format!(
            "none of its outputs ({}) is a tensor; export the model with tensor outputs",
            outputs.join("; ")
        )));
    }
    Ok(())
}
