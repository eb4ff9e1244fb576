//! Import cycles between the files of a crate: files that import each other, directly or through other files. None of
//! them can be understood without the others. `cargo xtask circles` fails if there is a cycle.
//!
//! An import through a re-export is an import of the file that defines the item. The declaration of a module is no
//! import. Tests are ignored.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};
use syn::{
    Attribute, Item, UseTree, Visibility,
    visit::{self, Visit},
};

/// Path of a module or an item in its crate.
type Names = Vec<String>;

/// A module: its file, its imports and its references.
#[derive(Debug)]
struct Module {
    file: PathBuf,
    /// Its imports: names, and the paths that they stand for.
    aliases: BTreeMap<String, Names>,
    /// The paths of the crate that its code refers to.
    mentions: BTreeSet<Names>,
}

/// The modules of a crate by their names.
type Modules = BTreeMap<Names, Module>;

/// Fails if a crate of the workspace at `root` has an import cycle. The error lists its files and the imported names.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let mut complaints = Vec::new();
    for entry_point in entry_points(root)? {
        let mut modules = Modules::new();
        read(&entry_point, &mut modules, Names::new())?;
        complaints.extend(
            circles(&modules)
                .into_iter()
                .map(|circle| circle.join("\n  ")),
        );
    }
    if complaints.is_empty() {
        return Ok(());
    }
    let root = format!("{}/", root.display());
    bail!(
        "files import each other in cycles. Move the items that both need into a file below them:\n\n{}",
        complaints.join("\n\n").replace(&root, "")
    )
}

/// The roots of all crates: `src/lib.rs`, or else `src/main.rs`.
fn entry_points(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut crates = vec![
        root.join("xtask"),
        root.join("tests/e2e"),
        root.join("tests/hostile"),
    ];
    for entry in fs::read_dir(root.join("crates"))? {
        crates.push(entry?.path());
    }
    crates.sort();
    let sources = crates.into_iter().flat_map(|folder| {
        let source = folder.join("src");
        let candidates = [source.join("lib.rs"), source.join("main.rs")];
        candidates.into_iter().find(|file| file.is_file())
    });
    Ok(sources.collect())
}

/// Reads the file of a module, and those of its submodules.
fn read(file: &Path, modules: &mut Modules, names: Names) -> anyhow::Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
    let mut module = Module {
        file: file.to_owned(),
        aliases: BTreeMap::new(),
        mentions: BTreeSet::new(),
    };
    let mut mentions = Mentions {
        module: names.clone(),
        found: BTreeSet::new(),
        idents: BTreeSet::new(),
    };
    let mut shown = Vec::new();
    // Submodules first: a `use` may begin with their names.
    for item in &parsed.items {
        if let Item::Mod(inner) = item
            && inner.content.is_none()
            && !is_of_tests(&inner.attrs)
        {
            let mut below = names.clone();
            below.push(inner.ident.to_string());
            let place = file_of(file, &names, &inner.ident.to_string())?;
            read(&place, modules, below)?;
        }
    }
    for item in &parsed.items {
        match item {
            Item::Use(import) if !is_of_tests(&import.attrs) => {
                let is_shown = !matches!(import.vis, Visibility::Inherited);
                let mut imports = Vec::new();
                flatten(&import.tree, &mut Names::new(), &mut imports);
                for (path, alias) in imports {
                    let Some(path) = absolute(&path, &names, modules) else {
                        continue;
                    };
                    if is_shown {
                        shown.push((path.clone(), alias.clone()));
                    } else {
                        module.mentions.insert(path.clone());
                    }
                    module.aliases.insert(alias, path);
                }
            }
            other => mentions.visit_item(other),
        }
    }
    // A re-export is no import of this file, unless its code uses the item, too.
    let used = shown
        .into_iter()
        .filter(|(_, alias)| mentions.idents.contains(alias));
    module.mentions.extend(used.map(|(path, _)| path));
    module.mentions.extend(mentions.found);
    modules.insert(names, module);
    Ok(())
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Meta>()
                .is_ok_and(|meta| words_of(&meta).contains("test"))
    })
}

fn words_of(meta: &syn::Meta) -> String {
    match meta {
        syn::Meta::Path(path) => path
            .get_ident()
            .map(ToString::to_string)
            .unwrap_or_default(),
        syn::Meta::List(list) => list.tokens.to_string(),
        syn::Meta::NameValue(_) => String::new(),
    }
}

/// The file of a module that is declared in the file of its parent.
fn file_of(parent: &Path, names: &[String], module: &str) -> anyhow::Result<PathBuf> {
    let folder = parent.parent().context("a file without a folder")?;
    let is_root_or_mod = names.is_empty() || parent.ends_with("mod.rs");
    let folder = if is_root_or_mod {
        folder.to_owned()
    } else {
        folder.join(parent.file_stem().context("a file without a name")?)
    };
    let candidates = [
        folder.join(format!("{module}.rs")),
        folder.join(module).join("mod.rs"),
    ];
    let found = candidates.into_iter().find(|file| file.is_file());
    found.with_context(|| format!("no file for the module {module} of {}", parent.display()))
}

/// The paths of a `use`, each with the name that it introduces.
fn flatten(tree: &UseTree, before: &mut Names, into: &mut Vec<(Names, String)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, into);
            before.pop();
        }
        UseTree::Name(name) => {
            let mut path = before.clone();
            if name.ident != "self" {
                path.push(name.ident.to_string());
            }
            let alias = path.last().cloned().unwrap_or_default();
            into.push((path, alias));
        }
        UseTree::Rename(rename) => {
            let mut path = before.clone();
            if rename.ident != "self" {
                path.push(rename.ident.to_string());
            }
            into.push((path, rename.rename.to_string()));
        }
        UseTree::Glob(_) => into.push((before.clone(), "*".to_owned())),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, into);
            }
        }
    }
}

/// The path from the root of the crate. `None` for an item of another crate.
fn absolute(path: &[String], module: &[String], modules: &Modules) -> Option<Names> {
    let (first, rest) = path.split_first()?;
    let mut from = module.to_vec();
    match first.as_str() {
        "crate" => from.clear(),
        "self" => {}
        "super" => {
            let mut rest = path;
            while let [first, after @ ..] = rest
                && first == "super"
            {
                from.pop();
                rest = after;
            }
            return Some([&from[..], rest].concat());
        }
        name => {
            // A module that was declared above.
            from.push(name.to_owned());
            return modules
                .contains_key(&from)
                .then(|| [&from[..], rest].concat());
        }
    }
    Some([&from[..], rest].concat())
}

/// Finds paths in code.
struct Mentions {
    /// The visited module: that of a file, or an inline module.
    module: Names,
    found: BTreeSet<Names>,
    /// All names in the code.
    idents: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if names.len() > 1 {
            // A path without these prefixes begins with a submodule, an import, or another crate.
            let is_of_the_crate = matches!(names[0].as_str(), "crate" | "super" | "self");
            self.found.extend(if is_of_the_crate {
                absolute(&names, &self.module, &Modules::new())
            } else {
                Some([&self.module[..], &names].concat())
            });
        }
        visit::visit_path(self, path);
    }

    /// A visibility is no import.
    fn visit_visibility(&mut self, _visibility: &'ast Visibility) {}

    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.idents.insert(ident.to_string());
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        // The name of a module is no use of an item of the same name.
        if let Some((_, items)) = &module.content
            && !is_of_tests(&module.attrs)
        {
            self.module.push(module.ident.to_string());
            for item in items {
                self.visit_item(item);
            }
            self.module.pop();
        }
    }
}

/// The module that defines the item of a path.
fn owner(path: &[String], modules: &Modules, depth: usize) -> Option<Names> {
    const MAX_DEPTH: usize = 16;
    let known = (0..=path.len())
        .rev()
        .find(|length| modules.contains_key(&path[..*length]))?;
    let (module, rest) = path.split_at(known);
    let here = modules.get(module)?;
    let Some((item, rest)) = rest.split_first() else {
        return Some(module.to_vec());
    };
    if depth < MAX_DEPTH
        && let Some(behind) = here.aliases.get(item)
    {
        let behind = [&behind[..], rest].concat();
        return owner(&behind, modules, depth + 1);
    }
    Some(module.to_vec())
}

/// The cycles: for each the files, and the names that they import from each other.
fn circles(modules: &Modules) -> Vec<Vec<String>> {
    let numbered: Vec<&Names> = modules.keys().collect();
    let number = |names: &Names| numbered.binary_search(&names).ok();
    let mut graph = DiGraphMap::<usize, BTreeSet<String>>::new();
    for (from, module) in modules {
        for mention in &module.mentions {
            let Some((from, to)) =
                number(from).zip(owner(mention, modules, 0).and_then(|names| number(&names)))
            else {
                continue;
            };
            if from != to {
                let name = mention.last().cloned().unwrap_or_default();
                match graph.edge_weight_mut(from, to) {
                    Some(names) => {
                        names.insert(name);
                    }
                    None => {
                        graph.add_edge(from, to, BTreeSet::from([name]));
                    }
                }
            }
        }
    }
    let file = |number: usize| modules[numbered[number]].file.display().to_string();
    let components = tarjan_scc(&graph)
        .into_iter()
        .filter(|files| files.len() > 1);
    let described = components.map(|files| {
        let mut lines = vec![format!("{} files:", files.len())];
        for (from, to, names) in graph.all_edges() {
            if files.contains(&from) && files.contains(&to) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                lines.push(format!(
                    "{} -> {}: {}",
                    file(from),
                    file(to),
                    names.join(", ")
                ));
            }
        }
        lines
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a crate with these files, and returns its cycles.
    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut modules = Modules::new();
        read(&folder.path().join("lib.rs"), &mut modules, Names::new()).unwrap();
        let circles = circles(&modules);
        let root = format!("{}/", folder.path().display());
        circles
            .into_iter()
            .map(|lines| lines.iter().map(|line| line.replace(&root, "")).collect())
            .collect()
    }

    #[test]
    fn files_that_import_each_other_are_a_cycle() {
        let circles = circles_of(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::{B, other as another}; pub struct A;"),
            ("b.rs", "pub struct B; pub fn other() { crate::c::f() }"),
            ("c.rs", "pub fn f() { let _ = super::a::A; }"),
        ]);
        assert_eq!(
            circles,
            [[
                "3 files:",
                "a.rs -> b.rs: B, other",
                "b.rs -> c.rs: f",
                "c.rs -> a.rs: A",
            ]]
        );
    }

    #[test]
    fn an_import_of_a_re_export_is_one_of_the_defining_file() {
        let lib = "mod a; mod b; pub use a::A; pub use b::B;";
        let a = "pub struct A;";
        let straight = circles_of(&[
            ("lib.rs", lib),
            ("a.rs", a),
            ("b.rs", "use crate::A; pub struct B;"),
        ]);
        assert_eq!(straight, Vec::<Vec<String>>::new());
        let around = circles_of(&[
            ("lib.rs", lib),
            ("a.rs", "use crate::B; pub struct A;"),
            ("b.rs", "use crate::A; pub struct B;"),
        ]);
        assert_eq!(around.len(), 1);
    }

    #[test]
    fn a_file_and_its_submodule_that_import_each_other_are_a_cycle() {
        let circles = circles_of(&[
            ("lib.rs", "mod a;"),
            (
                "a.rs",
                "mod inner; use inner::f; pub struct A; fn g() { f() }",
            ),
            ("a/inner.rs", "use super::A; pub fn f() {}"),
        ]);
        assert_eq!(
            circles,
            [["2 files:", "a.rs -> a/inner.rs: f", "a/inner.rs -> a.rs: A"]]
        );
    }

    #[test]
    fn the_parent_of_an_inline_module_is_the_file_itself() {
        let circles = circles_of(&[
            ("lib.rs", "mod a;"),
            ("a.rs", "mod inner; fn f() -> self::inner::A { todo!() }"),
            (
                "a/inner.rs",
                "pub struct A; mod within { fn g() -> super::A { todo!() } }",
            ),
        ]);
        assert_eq!(circles, Vec::<Vec<String>>::new());
        let circles = circles_of(&[
            ("lib.rs", "mod a;"),
            ("a.rs", "mod inner; fn f() -> self::inner::A { todo!() }"),
            (
                "a/inner.rs",
                "pub struct A; mod within { fn g() { super::super::f() } }",
            ),
        ]);
        assert_eq!(circles.len(), 1);
    }

    #[test]
    fn a_module_with_the_name_of_its_re_export_is_no_import() {
        let circles = circles_of(&[
            ("lib.rs", "mod a; pub use a::a; pub struct B;"),
            ("a.rs", "use crate::B; pub fn a() {}"),
        ]);
        assert_eq!(circles, Vec::<Vec<String>>::new());
    }

    #[test]
    fn paths_that_begin_with_a_submodule_or_an_import_count() {
        let circles = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod inner; pub struct A; fn g() { inner::f() }"),
            ("a/inner.rs", "use super::A; pub fn f() { crate::b::h() }"),
            (
                "b.rs",
                "use crate::a as another; pub fn h() { let _ = another::A; std::mem::drop(()) }",
            ),
        ]);
        assert_eq!(circles.len(), 1, "{circles:?}");
        assert_eq!(circles[0][0], "3 files:");
    }

    #[test]
    fn tests_are_ignored() {
        let circles = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
            ),
            ("b.rs", "use crate::a::A; pub struct B;"),
        ]);
        assert_eq!(circles, Vec::<Vec<String>>::new());
    }
}
