//! Which module may use which: the arrows go down only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of `src`, lowest first, with all that it may use; everything may use `error` and
/// `named`. Nothing stands below what uses it.
const ALLOWED: &[(&str, &str)] = &[
    ("error", ""),
    ("named", ""),
    ("files", ""),
    ("group", ""),
    ("backend", "group"),
    ("machine", ""),
    ("connectivity", ""),
    ("pass", "backend"),
    ("penalty", "pass"),
    ("arrays", "files"),
    ("data", "arrays files"),
    ("features", "data"),
    ("classify", "features"),
    ("store", "files group"),
    ("picture", "data files"),
    ("report", "data files picture"),
    ("pooling", "backend"),
    ("conv", "connectivity backend penalty pooling"),
    ("linop", "conv connectivity pass pooling"),
    (
        "model",
        "linop conv penalty connectivity backend data pooling",
    ),
    (
        "solve",
        "pooling model linop conv penalty pass connectivity backend group",
    ),
    ("restore", "solve data"),
    (
        "invert",
        "restore solve linop data connectivity backend pass",
    ),
    (
        "config",
        "group backend connectivity data model solve files pooling",
    ),
    (
        "run",
        "group config backend files machine store data model solve connectivity pooling",
    ),
    ("problem", "model solve arrays connectivity"),
    ("train", "run config solve store data model backend group"),
    (
        "convnet",
        "train run solve store data arrays backend files pass",
    ),
    (
        "task",
        "group train run config convnet invert features classify restore solve store data picture report arrays problem model connectivity files backend pooling",
    ),
    (
        "cli",
        "group task run config convnet invert features classify solve store arrays backend",
    ),
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The module right under the root that a file belongs to.
fn module_of(file: &Path) -> String {
    let first = file.iter().next().expect("a path").to_string_lossy();
    first.trim_end_matches(".rs").to_string()
}

/// The code of a file without comments and without what follows its `#[cfg(test)]`.
fn code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next();
    let lines = product.unwrap_or_default().lines();
    let code = lines.map(|line| line.split("//").next().unwrap_or_default());
    code.collect::<Vec<_>>().join("\n")
}

/// The names that follow `crate::`, alone or in braces.
fn used(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        // `mycrate::` is something else.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + start.len()..];
        match rest.strip_prefix('{') {
            Some(list) => names.extend(heads(list)),
            None => names.extend(identifier(rest)),
        }
    }
    names
}

/// The first name of each part of a list up to its closing brace.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut part, mut parts) = (0, String::new(), Vec::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    let trimmed = parts.iter().map(|p| p.trim_start_matches([',', ' ', '\n']));
    trimmed.filter_map(identifier).collect()
}

fn identifier(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &text[..end.unwrap_or(text.len())];
    (!name.is_empty()).then(|| name.to_string())
}

/// The files of `src` but for those of tests, by their path in it, and their texts.
fn library() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "the sources were found");
    files.retain(|path| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name != "tests.rs" && !name.ends_with("_tests.rs")
    });
    let texts = files.iter().map(|path| {
        let file = path.strip_prefix(&root).expect("below src").to_path_buf();
        (file, fs::read_to_string(path).expect("a source"))
    });
    texts.collect()
}

/// Each module with the modules that it uses, and the file where it does.
fn arrows() -> BTreeMap<(String, String), PathBuf> {
    let mut arrows = BTreeMap::new();
    for (file, text) in library() {
        let from = module_of(&file);
        for mut to in used(&code(&text)) {
            // `crate::Error` and `crate::Result` come from there.
            if to.starts_with(char::is_uppercase) {
                to = "error".into();
            }
            if to != from {
                arrows.insert((from.clone(), to), file.clone());
            }
        }
    }
    arrows
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for ((from, to), file) in arrows() {
        if ["main", "lib"].contains(&from.as_str()) || ["error", "named"].contains(&to.as_str()) {
            continue;
        }
        match allowed.get(from.as_str()) {
            None => wrong.push(format!("`{from}` is not in the table ({})", file.display())),
            Some(list) if !list.split(' ').any(|name| name == to) => {
                wrong.push(format!("`{from}` may not use `{to}` ({})", file.display()));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_permission_of_the_table_is_idle() {
    let arrows = arrows();
    for (from, list) in ALLOWED {
        for to in list.split(' ').filter(|to| !to.is_empty()) {
            let arrow = (from.to_string(), to.to_string());
            assert!(arrows.contains_key(&arrow), "`{from}` does not use `{to}`");
        }
    }
}

#[test]
fn every_module_is_in_the_table() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    for line in lib.expect("src/lib.rs").lines() {
        let line = line.trim_start_matches("pub ");
        if let Some(name) = line.strip_prefix("mod ").and_then(|l| l.strip_suffix(';')) {
            // What tests share is no part of the house.
            assert!(
                ["skipped", "says"].contains(&name) || ALLOWED.iter().any(|(n, _)| *n == name),
                "`{name}` is not in the table"
            );
        }
    }
}

#[test]
fn the_table_has_no_circle() {
    for (place, (name, below)) in ALLOWED.iter().enumerate() {
        for used in below.split(' ').filter(|used| !used.is_empty()) {
            let known = ALLOWED[..place].iter().any(|(lower, _)| *lower == used);
            assert!(
                known,
                "`{name}` uses `{used}`, which does not stand below it"
            );
        }
    }
}

/// Whether a line of code has a flag such as `--overwrite` in a text.
fn names_a_flag(line: &str) -> bool {
    line.match_indices("--").any(|(at, dashes)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        let after = line[at + dashes.len()..].chars().next();
        " \"'`(".contains(before) && after.is_some_and(|c| c.is_ascii_lowercase())
    })
}

#[test]
fn no_message_of_the_library_names_a_flag() {
    for text in ["\"pass --at\"", "\"--at {step}\"", "  --random \\"] {
        assert!(names_a_flag(text), "{text}");
    }
    for text in ["a - -b", "\"a -- b\"", "\"|---|\"", "\"---at\""] {
        assert!(!names_a_flag(text), "{text}");
    }
    for (file, text) in library() {
        if ["main", "cli"].contains(&module_of(&file).as_str()) {
            continue;
        }
        let code = code(&text);
        let found = code.lines().find(|line| names_a_flag(line));
        assert_eq!(found, None, "{}", file.display());
    }
}

#[test]
fn the_reader_of_uses_finds_them_all() {
    let text = "use crate::{Error, files::{self, walk}, data::Image};\n\
                // crate::cli is not used\n\
                fn f() -> crate::run::Run { $crate::solve::x() }\n\
                use mycrate::other; use crate::conv;\n\
                #[cfg(test)]\nmod tests {\n use crate::task; }";
    let found: Vec<_> = used(&code(text)).into_iter().collect();
    assert_eq!(found, ["Error", "conv", "data", "files", "run", "solve"]);
}

#[test]
fn the_sources_do_use_each_other() {
    let arrows = arrows();
    for (from, to) in [("task", "run"), ("solve", "conv"), ("model", "error")] {
        assert!(
            arrows.contains_key(&(from.into(), to.into())),
            "{from} -> {to}"
        );
    }
}

/// The modules of the crate: their paths, such as `conv::cpu`, and their code.
struct Modules(BTreeMap<Vec<String>, String>);

impl Modules {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        sources(&root, &mut files);
        let modules = files.into_iter().map(|path| {
            let file = path.strip_prefix(&root).expect("below src");
            let mut module: Vec<String> = file
                .with_extension("")
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            if matches!(
                module.last().map(String::as_str),
                Some("mod" | "lib" | "main")
            ) {
                module.pop();
            }
            (module, code(&fs::read_to_string(&path).expect("a source")))
        });
        Self(modules.collect())
    }

    /// The module that a path leads to from another, through what modules hand on by `pub use`.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let mut module = from.to_vec();
        let mut rest = path.iter().peekable();
        match path.first().map(String::as_str) {
            Some("crate") => module.clear(),
            Some("self" | "super") => {}
            // A child, or what comes from outside of the crate.
            Some(first) => {
                module.push(first.to_owned());
                self.0.get(&module)?;
            }
            None => return None,
        }
        rest.next();
        let mut climbing = path.first().is_some_and(|first| first == "super");
        if climbing {
            module.pop();
        }
        while let Some(name) = rest.peek() {
            climbing &= *name == "super";
            if climbing {
                module.pop();
                rest.next();
                continue;
            }
            module.push((*name).clone());
            if !self.0.contains_key(&module) {
                module.pop();
                break;
            }
            rest.next();
        }
        let handed_on = rest.next().filter(|_| depth < 4).and_then(|name| {
            let uses = uses(self.0.get(&module)?);
            let found = uses.into_iter().find(|path| path.last() == Some(name))?;
            self.resolve(&module, &found, depth + 1)
        });
        Some(handed_on.unwrap_or(module))
    }

    /// Each module with those that it uses, but for the modules that it lies in or that lie in it.
    fn arrows(&self) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
        let is_test = |module: &[String]| {
            let name = module.last().map_or("", String::as_str);
            name == "tests" || name.ends_with("_tests") || name == "test_runs"
        };
        let modules = self.0.iter().filter(|(module, _)| !is_test(module));
        modules
            .map(|(module, code)| {
                let used = uses(code).into_iter();
                let used = used.filter_map(|path| self.resolve(module, &path, 0));
                let others = used.filter(|to| !to.starts_with(module) && !module.starts_with(to));
                (module.clone(), others.collect())
            })
            .collect()
    }
}

/// The paths of all `use` statements of a file, groups taken apart.
fn uses(code: &str) -> Vec<Vec<String>> {
    fn expand(tree: &str, before: &[String], into: &mut Vec<Vec<String>>) {
        let tree = tree.trim();
        let (head, group) = match tree.split_once('{') {
            Some((head, rest)) => (head, rest.rfind('}').map(|end| &rest[..end])),
            None => (tree, None),
        };
        let mut path = before.to_vec();
        let names = head.split("::").map(|name| name.split(" as ").next());
        let names = names.map(|name| name.unwrap_or_default().trim());
        path.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
        let Some(group) = group else {
            into.push(path);
            return;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if !group[start..at].trim().is_empty() {
                        expand(&group[start..at], &path, into);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
    }
    let mut all = Vec::new();
    let statements = code.split("use ").skip(1);
    for statement in statements.filter_map(|rest| rest.split_once(';')) {
        expand(statement.0, &[], &mut all);
    }
    all
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let arrows = Modules::read().arrows();
    let many = arrows.values().map(BTreeSet::len).sum::<usize>();
    assert!(many > 200, "{many} arrows between files were found");
    // What no arrow leads to any more is taken away, until only circles are left.
    let mut left = arrows;
    loop {
        let used: BTreeSet<_> = left.values().flatten().cloned().collect();
        let before = left.len();
        left.retain(|module, below| {
            below.retain(|to| to != module);
            used.contains(module) && !below.is_empty()
        });
        let there: BTreeSet<_> = left.keys().cloned().collect();
        for below in left.values_mut() {
            below.retain(|to| there.contains(to));
        }
        if left.len() == before {
            break;
        }
    }
    let circle: Vec<String> = left
        .iter()
        .map(|(from, to)| {
            let to: Vec<_> = to.iter().map(|to| to.join("::")).collect();
            format!("{} -> {}", from.join("::"), to.join(", "))
        })
        .collect();
    assert!(circle.is_empty(), "{circle:#?}");
}

#[test]
fn the_reader_of_files_takes_groups_apart() {
    let found = uses("use a::{b, c::{self, D}}; pub use super::e::F as G;");
    let found: Vec<_> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::b", "a::c::self", "a::c::D", "super::e::F"]);
}
