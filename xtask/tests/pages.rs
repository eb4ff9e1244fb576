//! Pages that send their readers to files and headings name those that exist.

// Clippy takes only functions with #[test] for tests, not their helpers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Pages whose quoted paths are checked, too.
const PAGES: [&str; 3] = [
    "docs/architecture.md",
    "docs/security.md",
    "CONTRIBUTING.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn every_path_on_the_pages_about_the_code_exists() {
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
            // Crates are named without their common folder in tables.
            if !root().join(quoted).exists() && !root().join("crates").join(quoted).exists() {
                missing.push(format!("{page}: {quoted}"));
            }
        }
    }
    assert!(checked > 30, "only {checked} paths were found");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_link_between_pages_leads_to_a_file_and_a_heading() {
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

/// The Markdown files in `folder` and below, without hidden folders and build products.
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

/// A page without its code blocks.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap();
    text.split("```").step_by(2).collect()
}

/// Targets of inline links.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchors that GitHub gives the headings of a page; those of repeated headings aren't linked.
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
