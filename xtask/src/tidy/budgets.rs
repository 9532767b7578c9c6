//! How long a file, a function, a trait and the shared state may be.

use std::path::Path;

use tools_workspace::source::{Item, Side, SourceFile, functions, items};

const FILE_STOP: usize = 600;
const FUNCTION_STOP: usize = 70;
const MAIN_STOP: usize = 60;
const APP_STOP: usize = 250;
const API_STOP: usize = 150;
/// Beside the handlers: tables between domain and wire, which grow with the wire and not with logic.
const NO_HANDLERS: &[&str] = &["error.rs", "from_wire.rs", "to_wire.rs"];
const TRAIT_STOP: usize = 6;
const STATE_STOP: usize = 10;

/// The breaches of one file.
pub(super) fn check(file: &SourceFile) -> Vec<String> {
    if file.side == Side::Test {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    breaches.extend(file_length(file));
    breaches.extend(long_functions(file));
    breaches.extend(wide_traits(file));
    breaches.extend(wide_state(file));
    breaches
}

/// The code lines of each function.
pub(super) fn function_lengths(code: &str) -> Vec<usize> {
    functions(code).iter().map(Item::length).collect()
}

fn file_length(file: &SourceFile) -> Option<String> {
    let (stop, name) = file_stop(&file.path);
    let lines = file.product_lines;
    (lines > stop).then(|| format!("{}: {lines} product lines, {name} may have {stop}", file.path.display()))
}

fn file_stop(path: &Path) -> (usize, &'static str) {
    let daemon = Path::new("bin/orchestratord/src");
    if path.ends_with("src/main.rs") {
        (MAIN_STOP, "a main.rs")
    } else if path == daemon.join("app.rs") {
        (APP_STOP, "app.rs")
    } else if path == daemon.join("api.rs") || path == daemon.join("api/mod.rs") {
        (API_STOP, "the route table")
    } else if NO_HANDLERS.iter().any(|name| path == daemon.join("api").join(name)) {
        (FILE_STOP, "a file")
    } else if path.starts_with(daemon.join("api")) {
        (API_STOP, "a handler file")
    } else {
        (FILE_STOP, "a file")
    }
}

fn long_functions(file: &SourceFile) -> Vec<String> {
    let long = functions(&file.code).into_iter().filter(|function| function.length() > FUNCTION_STOP);
    long.map(|function| {
        let lines = function.length();
        let place = format!("{}:{}", file.path.display(), function.line);
        format!(
            "{place}: fn {} has {lines} lines of code, a function may have {FUNCTION_STOP}",
            function.name
        )
    })
    .collect()
}

fn wide_traits(file: &SourceFile) -> Vec<String> {
    let mut breaches = Vec::new();
    for item in items(&file.code, "trait") {
        let surface = item.surface();
        let methods = surface.split_whitespace().filter(|word| *word == "fn").count();
        if methods > TRAIT_STOP {
            let place = format!("{}:{}", file.path.display(), item.line);
            let name = item.name;
            breaches
                .push(format!("{place}: trait {name} has {methods} methods, a trait may have {TRAIT_STOP}"));
        }
    }
    breaches
}

/// The state shared by all handlers is where a program becomes one big room, so its fields are counted.
fn wide_state(file: &SourceFile) -> Option<String> {
    let structs = items(&file.code, "struct");
    let state = structs.iter().find(|item| item.name == "AppState")?;
    // rustfmt puts each field on a line of its own; `::` in a type is no field.
    let surface = state.surface().replace("::", "");
    let fields = surface.lines().filter(|line| line.contains(':')).count();
    let place = format!("{}:{}", file.path.display(), state.line);
    (fields > STATE_STOP).then(|| format!("{place}: AppState has {fields} fields, it may have {STATE_STOP}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Vec<String> {
        check(&SourceFile::new(Path::new(path), text.to_owned(), Side::Product))
    }

    fn lines(count: usize) -> String {
        "// a line\n".repeat(count)
    }

    #[track_caller]
    fn assert_stop(path: &str, stop: usize) {
        assert_eq!(breaches(path, &lines(stop)), Vec::<String>::new());
        let found = breaches(path, &lines(stop + 1));
        assert!(found.len() == 1 && found[0].contains(&format!("may have {stop}")), "{found:?}");
    }

    #[test]
    fn each_kind_of_file_has_its_stop() {
        assert_stop("libs/a/src/queue.rs", 600);
        assert_stop("bin/orchestratord/src/main.rs", 60);
        assert_stop("bin/orchestratord/src/app.rs", 250);
        assert_stop("bin/orchestratord/src/api.rs", 150);
        assert_stop("bin/orchestratord/src/api/mod.rs", 150);
        assert_stop("bin/orchestratord/src/api/data/task_create.rs", 150);
        assert_stop("bin/orchestratord/src/api/to_wire.rs", 600);
    }

    #[test]
    fn lines_of_tests_do_not_count() {
        let text = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(600), lines(50));
        assert_eq!(breaches("libs/a/src/queue.rs", &text), Vec::<String>::new());
    }

    #[test]
    fn function_over_its_stop_is_named_and_comments_do_not_count() {
        let function =
            |calls: usize| format!("\nfn long() {{\n{}    // why\n\n}}\n", "    f();\n".repeat(calls));
        assert_eq!(breaches("a.rs", &function(68)), Vec::<String>::new());
        let found = breaches("a.rs", &function(69));
        assert_eq!(found, ["a.rs:2: fn long has 71 lines of code, a function may have 70"]);
    }

    #[test]
    fn trait_with_seven_methods_is_a_breach() {
        let with =
            |methods: usize| format!("trait T {{\n{}}}\n", "    fn f(&self) -> u8 { 1 }\n".repeat(methods));
        assert_eq!(breaches("a.rs", &with(6)), Vec::<String>::new());
        assert_eq!(breaches("a.rs", &with(7)), ["a.rs:1: trait T has 7 methods, a trait may have 6"]);
    }

    #[test]
    fn state_with_eleven_fields_is_a_breach() {
        let with = |fields: usize| {
            format!("pub struct AppState {{\n{}}}\n", "    pub a: std::sync::Arc<A>,\n".repeat(fields))
        };
        assert_eq!(breaches("a.rs", &with(10)), Vec::<String>::new());
        assert_eq!(breaches("a.rs", &with(11)), ["a.rs:1: AppState has 11 fields, it may have 10"]);
    }

    #[test]
    fn product_code_is_measured_and_test_files_are_not() {
        let file = SourceFile::new(Path::new("libs/a/tests/it.rs"), lines(900), Side::Test);
        assert_eq!(check(&file), Vec::<String>::new());
    }
}
