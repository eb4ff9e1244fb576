//! References on the Markdown pages: files, headings, metrics and targets of `make` exist.

// Clippy takes only functions with #[test] for tests, not their helpers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Pages whose paths in backticks are checked.
const PAGES: [&str; 3] = [
    "docs/architecture.md",
    "docs/security.md",
    "CONTRIBUTING.md",
];

/// Files whose strings contain the names of all metrics.
const METRIC_SOURCES: [&str; 2] = [
    "crates/contract/src/metrics.rs",
    "crates/operator/src/metrics.rs",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn quoted_paths_exist() {
    let mut checked = 0;
    let mut missing = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = quoted.contains('/')
                && !quoted.starts_with('/')
                && quoted
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
            if !is_path {
                continue;
            }
            checked += 1;
            // In tables, crates are named without the folder `crates`.
            if !root().join(quoted).exists() && !root().join("crates").join(quoted).exists() {
                missing.push(format!("{page}: {quoted}"));
            }
        }
    }
    assert!(checked > 30, "only {checked} paths were found");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn metrics_on_the_pages_exist() {
    let exported: BTreeSet<String> = METRIC_SOURCES
        .into_iter()
        .flat_map(|path| {
            let text = fs::read_to_string(root().join(path)).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            let strings = code.split('"').skip(1).step_by(2).map(str::to_owned);
            strings
                .filter(|text| metric_names(text) == [text.as_str()])
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(exported.len() > 20, "only {exported:?}");
    let is_exported = |name: &str| {
        // The series of a histogram.
        let series = ["_bucket", "_sum", "_count"];
        let mut families = series.iter().filter_map(|suffix| name.strip_suffix(suffix));
        exported.contains(name) || families.any(|family| exported.contains(family))
    };
    // `springtide_plan` in the output of `cargo` is a crate.
    let is_crate = |name: &str| {
        let crate_name = name.trim_start_matches("springtide_").replace('_', "-");
        root().join("crates").join(crate_name).exists()
    };
    let mut checked = 0;
    let mut missing = Vec::new();
    for page in reader_pages() {
        let text = fs::read_to_string(&page).unwrap();
        for name in metric_names(&text) {
            checked += 1;
            if !is_exported(name) && !is_crate(name) {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(checked > 30, "only {checked} metrics were found");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn targets_of_make_on_the_pages_exist() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| line.starts_with(|letter: char| letter.is_ascii_lowercase()))
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(names, _)| names.split_whitespace())
        .collect();
    let mut checked = 0;
    let mut missing = Vec::new();
    for page in reader_pages() {
        let text = fs::read_to_string(&page).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        let blocks = text.split("```").skip(1).step_by(2);
        let commands = quoted.chain(blocks.flat_map(str::lines));
        for target in commands.filter_map(make_target) {
            checked += 1;
            if !targets.contains(target) {
                missing.push(format!("{}: make {target}", page.display()));
            }
        }
    }
    assert!(checked > 30, "only {checked} targets were found");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn links_lead_to_existing_files_and_headings() {
    let mut pages = Vec::new();
    find_pages(root(), &mut pages);
    let mut checked = 0;
    let mut missing = Vec::new();
    for page in &pages {
        for target in links(&prose(page)) {
            if target.contains("://") {
                continue;
            }
            checked += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            let exists = file.exists() && (anchor.is_empty() || anchors(&file).contains(anchor));
            if !exists {
                missing.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} links were found");
    assert_eq!(missing, Vec::<String>::new());
}

/// Finds the Markdown files in a folder and its subfolders, without hidden folders and build products.
fn find_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            find_pages(&path, pages);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            pages.push(path);
        }
    }
}

/// The pages for users and contributors.
fn reader_pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    find_pages(&root().join("docs"), &mut pages);
    pages
}

/// The words of a text that have a prefix of this project's metrics.
fn metric_names(text: &str) -> Vec<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("ml_") || word.starts_with("springtide_"))
        .collect()
}

/// The target of a command `make TARGET`, with or without variables.
fn make_target(command: &str) -> Option<&str> {
    let target = command.strip_prefix("make ")?.split_whitespace().next()?;
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    target
        .chars()
        .all(|letter| is_name(letter) || letter == '-')
        .then_some(target)
}

/// A page without its code blocks.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap();
    text.split("```").step_by(2).collect()
}

/// The targets of inline links.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchors of the headings of a page on GitHub. Anchors of repeated headings aren't used.
fn anchors(page: &Path) -> BTreeSet<String> {
    prose(page)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim())
        .map(|heading| {
            heading
                .to_lowercase()
                .chars()
                .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
                .map(|letter| if letter == ' ' { '-' } else { letter })
                .collect()
        })
        .collect()
}
