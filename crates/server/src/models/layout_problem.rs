//! Layout problems: misplaced files in a model directory, and how to correct them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use springtide_contract::text::plain;

use super::folder::MODEL_FILE;
use super::name::{InvalidName, ModelName, Version};

/// Maximum number of problems of one model.
const MAX_PROBLEMS: usize = 10;

/// Maximum length of a name in a message, in bytes.
const MAX_NAME: usize = 128;

/// A file or folder that is ignored but looks like a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutProblem {
    /// The model: the name of its folder.
    pub model: String,
    /// The version: the name of its folder. Empty where there is none.
    pub version: String,
    /// How to correct it.
    pub advice: String,
}

/// Kind of an entry. A link has the kind of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A link that leads nowhere.
    DeadLink,
    /// It exists and can't be read.
    Unreadable,
}

/// The contents of a model's folder, by relative path.
pub(super) type Names = BTreeMap<String, Kind>;

/// Problems in a model's folder.
pub(super) fn of_model(name: &str, names: &Names) -> Vec<LayoutProblem> {
    let problem = |version: &str, advice| LayoutProblem {
        model: shortened(name).into_owned(),
        version: shortened(version).into_owned(),
        advice,
    };
    if name.parse::<ModelName>().is_err() {
        let holds_models = !Models::below("", names).is_empty();
        let advice = format!("rename the folder {}: {InvalidName}", shortened(name));
        return Vec::from_iter(holds_models.then(|| problem("", advice)));
    }
    let top = || {
        let visible = |(path, kind): (&String, &Kind)| {
            (!path.contains('/') && !path.starts_with('.')).then(|| (path.clone(), *kind))
        };
        names.iter().filter_map(visible)
    };
    let folders = top().filter(|(_, kind)| *kind != Kind::File);
    let mut versions = Versions(folders.filter_map(|(path, _)| path.parse().ok()).collect());
    let has_versions = !versions.0.is_empty();
    let mut problems = Vec::new();
    for (path, kind) in top() {
        let models = Models::below(&format!("{path}/"), names);
        let advice = match (kind, path.parse::<Version>()) {
            (Kind::Folder, Ok(version)) => of_version(version, &models, names),
            (Kind::File, Ok(version)) => Some(format!(
                "{version} is a file: make it a folder with the model in it as {MODEL_FILE}"
            )),
            (Kind::DeadLink, Ok(version)) => Some(format!(
                "{version} is a link that leads nowhere: put the folder there"
            )),
            (Kind::Folder, Err(_)) if !models.is_empty() => {
                Some(of_misnamed(&path, &models, versions.meant_by(&path)))
            }
            _ => None,
        };
        problems.extend(advice.map(|advice| problem(&path, advice)));
    }
    let loose = Models::beside(names);
    if !loose.is_empty() {
        let advice = loose.moved("", &versions.next().to_string());
        let advice = match name.parse::<Version>() {
            Ok(version) => format!(
                "if {version} is a version and not a model, set --model-dir to the folder above; \
                 else {advice}"
            ),
            Err(_) => advice,
        };
        problems.push(problem("", advice));
    }
    if problems.is_empty() && !has_versions {
        let advice = format!(
            "put the model into the folder {} as 1/{MODEL_FILE}",
            shortened(name)
        );
        problems.push(problem("", advice));
    }
    problems.truncate(MAX_PROBLEMS);
    problems
}

/// The problem of a file beside the folders of models.
pub(super) fn of_file(file: &str) -> Option<LayoutProblem> {
    let names = Names::from([(file.to_owned(), Kind::File)]);
    let models = Models::beside(&names);
    let (stem, _extension) = file.rsplit_once('.')?;
    let folder = match stem.parse::<ModelName>() {
        Ok(name) if file != MODEL_FILE => name.to_string(),
        _ => "<name>".to_owned(),
    };
    (!models.is_empty()).then(|| LayoutProblem {
        model: shortened(stem).into_owned(),
        version: String::new(),
        advice: models.moved("", &format!("{folder}/1")),
    })
}

/// Advice for a version's folder. None where it has a model file.
fn of_version(version: Version, models: &Models<'_>, names: &Names) -> Option<String> {
    let model_file = format!("{version}/{MODEL_FILE}");
    match names.get(&model_file) {
        Some(Kind::File | Kind::Unreadable) => None,
        Some(Kind::DeadLink) => Some(format!(
            "{model_file} is a link that leads nowhere: put the model there"
        )),
        Some(Kind::Folder) | None => Some(match &*models.onnx {
            [model] if !model.contains('/') => {
                format!("rename {version}/{} to {MODEL_FILE}", shortened(model))
            }
            _ => models.moved(&format!("{version}/"), &version.to_string()),
        }),
    }
}

/// Advice for a folder with models whose name is no version.
fn of_misnamed(folder: &str, models: &Models<'_>, version: Version) -> String {
    let folder = shortened(folder);
    match &*models.onnx {
        onnx if onnx.contains(&MODEL_FILE) => format!("rename the folder {folder} to {version}"),
        [model] if !model.contains('/') => format!(
            "rename the folder {folder} to {version}, and {} in it to {MODEL_FILE}",
            shortened(model)
        ),
        _ => models.moved(&format!("{folder}/"), &version.to_string()),
    }
}

/// Files that look like models, by relative path.
struct Models<'a> {
    onnx: Vec<&'a str>,
    /// In the format of ONNX Runtime.
    ort: Vec<&'a str>,
}

impl<'a> Models<'a> {
    /// Those in a folder and below it. The path ends with a slash, or is empty.
    fn below(folder: &str, names: &'a Names) -> Self {
        let mut models = Self {
            onnx: Vec::new(),
            ort: Vec::new(),
        };
        let below = names.range(folder.to_owned()..);
        for (path, kind) in below {
            let Some(path) = path.strip_prefix(folder) else {
                break;
            };
            if *kind != Kind::File {
                continue;
            }
            let extension = path.rsplit_once('.').map(|(_, extension)| extension);
            let is = |wanted| extension.is_some_and(|found| found.eq_ignore_ascii_case(wanted));
            if path.split('/').any(|name| name.starts_with('.')) {
                continue;
            }
            if is("onnx") {
                models.onnx.push(path);
            } else if is("ort") {
                models.ort.push(path);
            }
        }
        models
    }

    /// Those outside any folder.
    fn beside(names: &'a Names) -> Self {
        let mut models = Self::below("", names);
        models.onnx.retain(|path| !path.contains('/'));
        models.ort.retain(|path| !path.contains('/'));
        models
    }

    fn is_empty(&self) -> bool {
        self.onnx.is_empty() && self.ort.is_empty()
    }

    /// Advice to move one of them into a version's folder. `here` is the path of their folder as the message needs
    /// it.
    fn moved(&self, here: &str, version: &str) -> String {
        let place = format!("{version}/{MODEL_FILE}");
        match (&*self.onnx, &*self.ort) {
            ([], []) => format!("put the model there as {place}"),
            ([], [ort, ..]) => format!(
                "{here}{} is in the .ort format, which isn't served: put the .onnx file that it was \
                 made of there as {place}",
                shortened(ort)
            ),
            (onnx, _) if onnx.contains(&MODEL_FILE) => {
                format!("move {here}{MODEL_FILE}, and what belongs to it, into a folder {version}")
            }
            ([onnx], _) => format!("move {here}{} to {place}", shortened(onnx)),
            ([first, ..], _) => format!(
                "move one of its .onnx files, {here}{} perhaps, to {place}",
                shortened(first)
            ),
        }
    }
}

/// Version numbers of a model that are in use.
struct Versions(BTreeSet<Version>);

impl Versions {
    /// The number after the highest one, which is in use from now on.
    fn next(&mut self) -> Version {
        let next = self
            .0
            .last()
            .map_or(Version::FIRST, |last| last.following());
        self.0.insert(next);
        next
    }

    /// The number that a folder's name probably means, as in `001`, `v1` or `version_1`.
    fn meant_by(&mut self, folder: &str) -> Version {
        let number = folder.trim_start_matches(|character: char| {
            character == '0' || character.is_ascii_alphabetic() || "-_.".contains(character)
        });
        match number.parse() {
            Ok(version) if self.0.insert(version) => version,
            _ => self.next(),
        }
    }
}

/// A name fit for a message.
fn shortened(name: &str) -> Cow<'_, str> {
    plain(name, MAX_NAME)
}

#[cfg(test)]
mod tests;
