//! Pages that send their readers to files name files that are there.

use std::fs;
use std::path::Path;

const PAGES: [&str; 2] = ["docs/architecture.md", "CONTRIBUTING.md"];

#[test]
fn every_path_on_the_pages_about_the_code_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut checked = 0;
    let mut missing = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root.join(page)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = quoted.contains('/')
                && quoted
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
            if !is_path {
                continue;
            }
            checked += 1;
            // Crates are named without their common folder in tables.
            if !root.join(quoted).exists() && !root.join("crates").join(quoted).exists() {
                missing.push(format!("{page}: {quoted}"));
            }
        }
    }
    assert!(checked > 30, "only {checked} paths were found");
    assert_eq!(missing, Vec::<String>::new());
}
