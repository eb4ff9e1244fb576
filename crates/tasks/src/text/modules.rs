//! The modules of a sentence-transformers model: what is done with the embeddings of tokens.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::pooling::PoolingMode;
use crate::folder::{FolderError, ModelFolder};

const MODULES: &str = "modules.json";
const PROMPTS: &str = "config_sentence_transformers.json";

/// Files of a pooling module, by the number of the module. sentence-transformers names the folder so.
const POOLING_FILES: [(&str, &str); 10] = [
    ("0_Pooling", "0_Pooling/config.json"),
    ("1_Pooling", "1_Pooling/config.json"),
    ("2_Pooling", "2_Pooling/config.json"),
    ("3_Pooling", "3_Pooling/config.json"),
    ("4_Pooling", "4_Pooling/config.json"),
    ("5_Pooling", "5_Pooling/config.json"),
    ("6_Pooling", "6_Pooling/config.json"),
    ("7_Pooling", "7_Pooling/config.json"),
    ("8_Pooling", "8_Pooling/config.json"),
    ("9_Pooling", "9_Pooling/config.json"),
];

/// What follows the transformer of a sentence-transformers model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules {
    /// Whether the model's folder has a `modules.json`.
    pub declared: bool,
    /// Modes of pooling, of which the results are concatenated.
    pub pooling: Vec<PoolingMode>,
    /// Length of a token's embedding, where the pooling module declares it.
    pub token_width: Option<usize>,
    /// Whether embeddings are scaled to length 1.
    pub normalize: bool,
    /// Whether there are modules that only the model itself can have applied, such as `Dense`.
    pub others: bool,
    /// Text in front of each text, from the default prompt.
    pub prompt: String,
}

/// The mean of the tokens, which sentence-transformers takes for a model that isn't its own.
impl Default for Modules {
    fn default() -> Self {
        Self {
            declared: false,
            pooling: vec![PoolingMode::Mean],
            token_width: None,
            normalize: false,
            others: false,
            prompt: String::new(),
        }
    }
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    class: String,
}

/// `config_sentence_transformers.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Prompts {
    prompts: Map<String, Value>,
    default_prompt_name: Option<String>,
}

impl Prompts {
    /// The default prompt, empty if there is none. None when it is missing.
    fn default_prompt(&self) -> Option<&str> {
        match &self.default_prompt_name {
            None => Some(""),
            Some(name) => self.prompts.get(name)?.as_str(),
        }
    }
}

impl Modules {
    /// The modules of a model's folder.
    ///
    /// # Errors
    /// When a file can't be used.
    pub fn read(folder: &ModelFolder) -> Result<Self, FolderError> {
        let mut modules = Self::default();
        let Some(entries) = folder.json::<Vec<Module>>(MODULES)? else {
            return Ok(modules);
        };
        modules.declared = true;
        let mut includes_prompt = true;
        for entry in entries {
            // The modules have moved between packages, their classes kept their names.
            match entry.class.rsplit('.').next() {
                Some("Transformer") => {}
                Some("Normalize") => modules.normalize = true,
                Some("Pooling") => {
                    let pooling = pooling(folder, &entry.path)?;
                    modules.pooling = pooling.modes;
                    modules.token_width = pooling.token_width;
                    includes_prompt = pooling.includes_prompt;
                }
                _ => modules.others = true,
            }
        }
        let prompts = folder.json::<Prompts>(PROMPTS)?.unwrap_or_default();
        let prompt = prompts.default_prompt().ok_or_else(|| {
            FolderError::new(PROMPTS, "its default prompt isn't among its prompts")
        })?;
        if !prompt.is_empty() && !includes_prompt {
            let problem = "embeddings without the tokens of the prompt are not supported";
            return Err(FolderError::new(PROMPTS, problem));
        }
        prompt.clone_into(&mut modules.prompt);
        Ok(modules)
    }
}

/// What the file of a pooling module says.
struct Pooling {
    modes: Vec<PoolingMode>,
    token_width: Option<usize>,
    includes_prompt: bool,
}

fn pooling(folder: &ModelFolder, path: &str) -> Result<Pooling, FolderError> {
    let known = |(name, _): &&(&str, &'static str)| *name == path;
    let Some((_, file)) = POOLING_FILES.iter().find(known) else {
        let problem = "the folder of its pooling module isn't named like 1_Pooling";
        return Err(FolderError::new(MODULES, problem));
    };
    let Some(config) = folder.json::<Map<String, Value>>(file)? else {
        let problem = "modules.json names it, and there is no such file: copy it beside the model";
        return Err(FolderError::new(file, problem));
    };
    let modes = modes(&config)
        .ok_or_else(|| FolderError::new(file, "its mode of pooling isn't supported"))?;
    let width = |key| config.get(key).and_then(Value::as_u64);
    let token_width = width("word_embedding_dimension").or_else(|| width("embedding_dimension"));
    let include_prompt = config.get("include_prompt").and_then(Value::as_bool);
    Ok(Pooling {
        modes,
        token_width: token_width.and_then(|width| usize::try_from(width).ok()),
        includes_prompt: include_prompt.unwrap_or(true),
    })
}

/// The modes of a pooling module's configuration: a name, a list of names, or the truth values of older files. The
/// mean when nothing is said. None for an unknown mode.
fn modes(config: &Map<String, Value>) -> Option<Vec<PoolingMode>> {
    let named = |name: &Value| PoolingMode::named(name.as_str()?);
    let mut modes: Vec<_> = match config.get("pooling_mode") {
        Some(Value::Array(names)) => names.iter().map(named).collect::<Option<_>>()?,
        Some(name) => vec![named(name)?],
        None => {
            let is_set = |key: &str| config.get(key).and_then(Value::as_bool) == Some(true);
            let all = PoolingMode::NAMES.into_iter();
            all.filter(|(_, _, key)| is_set(key))
                .map(|(mode, _, _)| mode)
                .collect()
        }
    };
    if modes.is_empty() {
        modes.push(PoolingMode::Mean);
    }
    Some(modes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The modules of a folder with files.
    fn read(files: &[(&str, &str)]) -> Result<Modules, FolderError> {
        let folder = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Modules::read(&ModelFolder::new(folder.path()))
    }

    const POOLED: &str = r#"[
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    ]"#;

    #[test]
    fn a_folder_without_modules_is_pooled_by_the_mean() {
        assert_eq!(read(&[]), Ok(Modules::default()));
    }

    #[test]
    fn old_and_new_files_of_pooling_are_read() {
        for (config, expected) in [
            ("{}", vec![PoolingMode::Mean]),
            (
                r#"{"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#,
                vec![PoolingMode::Cls],
            ),
            (
                r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#,
                vec![PoolingMode::Cls, PoolingMode::Mean],
            ),
            (
                r#"{"embedding_dimension": 8, "pooling_mode": "lasttoken"}"#,
                vec![PoolingMode::LastToken],
            ),
            (
                r#"{"pooling_mode": ["max", "mean_sqrt_len_tokens", "weightedmean"]}"#,
                vec![
                    PoolingMode::Max,
                    PoolingMode::MeanSqrtLength,
                    PoolingMode::WeightedMean,
                ],
            ),
        ] {
            let files = [("modules.json", POOLED), ("1_Pooling/config.json", config)];
            let modules = read(&files).unwrap();
            assert_eq!(modules.pooling, expected);
            assert!(modules.declared && !modules.normalize && !modules.others);
            assert_eq!(modules.token_width.is_some(), config.contains('8'));
        }
    }

    #[test]
    fn classes_of_modules_are_known_in_any_package() {
        let modules = r#"[{"type": "sentence_transformers.base.modules.normalize.Normalize"}, {"type": "a.Dense"}]"#;
        let modules = read(&[("modules.json", modules)]).unwrap();
        assert!(modules.normalize && modules.others);
    }

    #[test]
    fn a_path_outside_of_the_folder_is_not_read() {
        let modules = r#"[{"path": "../1_Pooling", "type": "a.Pooling"}]"#;
        let error = read(&[("modules.json", modules)]).unwrap_err().to_string();
        assert!(error.contains("isn't named like 1_Pooling"), "{error}");
    }

    #[test]
    fn missing_and_unknown_pooling_are_errors() {
        let missing = read(&[("modules.json", POOLED)]).unwrap_err();
        assert_eq!(missing.file, "1_Pooling/config.json");
        for config in [
            r#"{"pooling_mode": "secret"}"#,
            r#"{"pooling_mode": [1]}"#,
            r#"{"pooling_mode": {}}"#,
            "[]",
        ] {
            let files = [("modules.json", POOLED), ("1_Pooling/config.json", config)];
            let error = read(&files).unwrap_err();
            assert_eq!(error.file, "1_Pooling/config.json");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_default_prompt_is_read() {
        let with = |prompts, pooling| {
            read(&[
                ("modules.json", POOLED),
                ("1_Pooling/config.json", pooling),
                ("config_sentence_transformers.json", prompts),
            ])
        };
        let named =
            r#"{"prompts": {"query": "query: ", "none": null}, "default_prompt_name": "query"}"#;
        assert_eq!(with(named, "{}").unwrap().prompt, "query: ");
        let unnamed = r#"{"prompts": {"query": "query: "}, "default_prompt_name": null}"#;
        assert_eq!(with(unnamed, "{}").unwrap().prompt, "");
        let missing = r#"{"prompts": {}, "default_prompt_name": "query"}"#;
        assert!(with(missing, "{}").is_err());
        assert!(with(named, r#"{"include_prompt": false}"#).is_err());
        assert!(with(unnamed, r#"{"include_prompt": false}"#).is_ok());
    }
}
