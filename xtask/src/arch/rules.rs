//! The rules over the graph of crates. Each answers with sentences that name the crate, the arrow and the rule.

use tools_workspace::floors::{Floor, floor_of};

use super::{
    CORE_MAY_USE,
    graph::{Arrow, Crate, Use},
};

type Rule = fn(&Crate, &Arrow, &Crate) -> Option<String>;

/// Tools that are made for the tests of other crates.
const FOR_TESTS: &[&str] = &["tools-json-schema"];

/// Rules over one arrow between two crates of the workspace.
const ARROW_RULES: &[Rule] =
    &[falls, tools_stand_apart, wire_is_for_binaries, libs_stay_below, adapters_stay_alone];

/// Applies every rule.
pub(super) fn check(crates: &[Crate]) -> Vec<String> {
    let find = |name: &str| crates.iter().find(|one| one.name == name);
    let mut breaches = Vec::new();
    for from in crates {
        breaches.extend(is_known(from));
        breaches.extend(core_is_pure(from));
        for arrow in &from.arrows {
            // A crate may name itself, to test with a feature of its own.
            if let Some(to) = find(&arrow.to).filter(|to| to.name != from.name) {
                breaches.extend(ARROW_RULES.iter().filter_map(|rule| rule(from, arrow, to)));
            }
        }
    }
    breaches.extend(circle(crates));
    breaches
}

fn breach(from: &Crate, arrow: &Arrow, rule: &str) -> String {
    let kind = if arrow.use_in == Use::Tests { " (in tests)" } else { "" };
    format!("{} -> {}{kind}: {rule}", from.name, arrow.to)
}

fn is_known(one: &Crate) -> Option<String> {
    floor_of(&one.name).is_none().then(|| {
        format!(
            "{}: a crate must have its floor in the table of tools/workspace/src/floors.rs before it is used",
            one.name
        )
    })
}

fn core_is_pure(one: &Crate) -> Vec<String> {
    if one.name != "orchestrator-core" {
        return Vec::new();
    }
    let alien = |arrow: &&Arrow| arrow.use_in == Use::Product && !CORE_MAY_USE.contains(&arrow.to.as_str());
    let rule = format!("the core may depend on nothing but {}", CORE_MAY_USE.join(", "));
    one.arrows.iter().filter(alien).map(|arrow| breach(one, arrow, &rule)).collect()
}

fn falls(from: &Crate, arrow: &Arrow, to: &Crate) -> Option<String> {
    if arrow.use_in == Use::Tests {
        return None;
    }
    match (floor_of(&from.name)?, floor_of(&to.name)?) {
        (Floor::Level(own), Floor::Level(other)) if other > own => {
            Some(breach(from, arrow, &format!("an arrow may not rise, here from floor {own} to {other}")))
        }
        (Floor::Level(own), Floor::Level(other)) if other == own => {
            Some(breach(from, arrow, &format!("an arrow may not stay on its floor, here {own}")))
        }
        _ => None,
    }
}

fn tools_stand_apart(from: &Crate, arrow: &Arrow, to: &Crate) -> Option<String> {
    let is_apart = |name: &str| floor_of(name) == Some(Floor::Apart);
    let is_for_tests = arrow.use_in == Use::Tests && FOR_TESTS.contains(&to.name.as_str());
    if !is_apart(&to.name) || is_apart(&from.name) || is_for_tests {
        return None;
    }
    Some(breach(from, arrow, "only a tool may depend on a tool"))
}

fn wire_is_for_binaries(from: &Crate, arrow: &Arrow, to: &Crate) -> Option<String> {
    // What clients and nodes say alike is written once.
    if from.name == "api-types" && to.name != "pool-registry-types" {
        return Some(breach(
            from,
            arrow,
            "api-types depends on no crate of the workspace but pool-registry-types, so the wire stays its own",
        ));
    }
    if to.name == "api-types" && from.folder != "bin" {
        return Some(breach(
            from,
            arrow,
            "only bin/* may depend on api-types, so the domain never speaks the wire",
        ));
    }
    None
}

fn libs_stay_below(from: &Crate, arrow: &Arrow, to: &Crate) -> Option<String> {
    let is_mock_in_tests = arrow.use_in == Use::Tests && to.name == "mock";
    if from.folder != "libs" || is_mock_in_tests || !matches!(to.folder.as_str(), "worker-adapters" | "bin") {
        return None;
    }
    Some(breach(from, arrow, "libs/* may not depend on worker-adapters/* or bin/*"))
}

fn adapters_stay_alone(from: &Crate, arrow: &Arrow, to: &Crate) -> Option<String> {
    if from.folder != "worker-adapters" {
        return None;
    }
    if to.name == "orchestrator-core" {
        return Some(breach(
            from,
            arrow,
            "an adapter knows no queue, pool or task, so it may not depend on the core",
        ));
    }
    let is_mock_in_tests = arrow.use_in == Use::Tests && to.name == "mock";
    let is_adapter = to.folder == "worker-adapters" && to.name != "http-util";
    if is_adapter && !is_mock_in_tests {
        return Some(breach(from, arrow, "adapters may not depend on each other (on mock in tests only)"));
    }
    None
}

/// The first circle of product arrows, if any, as a path.
fn circle(crates: &[Crate]) -> Option<String> {
    crates.iter().find_map(|start| {
        let mut path = vec![start.name.as_str()];
        walk_back_to(start, crates, &mut path).then(|| {
            let names = path.join(" -> ");
            format!("{names} -> {}: crates may not depend on each other in a circle", start.name)
        })
    })
}

/// Extends the path from its end until an arrow leads back to its start.
fn walk_back_to<'a>(from: &'a Crate, crates: &'a [Crate], path: &mut Vec<&'a str>) -> bool {
    for arrow in from.arrows.iter().filter(|arrow| arrow.use_in == Use::Product) {
        if path.first() == Some(&arrow.to.as_str()) {
            return true;
        }
        let Some(next) = crates.iter().find(|one| one.name == arrow.to) else { continue };
        if path.contains(&next.name.as_str()) {
            continue;
        }
        path.push(&next.name);
        if walk_back_to(next, crates, path) {
            return true;
        }
        path.pop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn krate(folder: &str, name: &str, to: &[&str]) -> Crate {
        let arrows = to.iter().map(|to| Arrow { to: (*to).to_owned(), use_in: Use::Product }).collect();
        Crate { name: name.to_owned(), folder: folder.to_owned(), arrows }
    }

    fn in_tests(mut one: Crate, to: &str) -> Crate {
        one.arrows.push(Arrow { to: to.to_owned(), use_in: Use::Tests });
        one
    }

    /// A sound house, with one room replaced.
    fn house(changed: Crate) -> Vec<String> {
        let mut crates = vec![
            krate("libs", "orchestrator-core", &["smallvec", "thiserror", "uuid"]),
            krate("libs", "narration-core", &["tracing"]),
            krate("contracts", "api-types", &["serde"]),
            krate("libs", "adapter-api", &["tokio"]),
            krate("libs", "adapter-host", &["adapter-api", "orchestrator-core"]),
            krate("worker-adapters", "http-util", &["adapter-api"]),
            krate("worker-adapters", "mock", &["adapter-api"]),
            krate("worker-adapters", "llamacpp-http", &["adapter-api", "http-util"]),
            krate("bin", "orchestratord", &["adapter-host", "api-types", "llamacpp-http", "mock"]),
            krate("tools", "tools-json-schema", &["serde_json"]),
            krate("tools", "tools-workspace", &["anyhow"]),
            krate("xtask", "xtask", &["orchestrator-core"]),
        ];
        crates.retain(|one| one.name != changed.name);
        crates.push(changed);
        check(&crates)
    }

    fn assert_breach(breaches: &[String], arrow: &str, rule: &str) {
        let is_named = breaches.iter().any(|breach| breach.starts_with(arrow) && breach.contains(rule));
        assert!(is_named, "no breach of `{rule}` by `{arrow}` in {breaches:#?}");
    }

    #[test]
    fn sound_house_has_no_breach() {
        assert_eq!(house(krate("libs", "auth-min", &["sha2"])), Vec::<String>::new());
    }

    #[test]
    fn arrow_that_rises_is_a_breach() {
        let breaches = house(krate("libs", "adapter-api", &["adapter-host"]));
        assert_breach(&breaches, "adapter-api -> adapter-host", "may not rise, here from floor 2 to 3");
    }

    #[test]
    fn arrow_that_stays_on_its_floor_is_a_breach() {
        let breaches = house(krate("libs", "narration-core", &["orchestrator-core"]));
        assert_breach(&breaches, "narration-core -> orchestrator-core", "may not stay on its floor");
    }

    #[test]
    fn circle_is_named_with_its_whole_path() {
        let breaches = house(krate("libs", "adapter-api", &["llamacpp-http"]));
        let rule = "in a circle";
        assert_breach(&breaches, "http-util -> adapter-api -> llamacpp-http -> http-util", rule);
        assert_eq!(breaches.iter().filter(|breach| breach.contains(rule)).count(), 1);
    }

    #[test]
    fn core_with_a_runtime_is_a_breach_but_not_in_tests() {
        let core = || krate("libs", "orchestrator-core", &["smallvec"]);
        assert_eq!(house(in_tests(core(), "proptest")), Vec::<String>::new());
        let breaches = house(krate("libs", "orchestrator-core", &["tokio"]));
        assert_breach(&breaches, "orchestrator-core -> tokio", "nothing but smallvec, thiserror, uuid");
    }

    #[test]
    fn core_may_test_with_its_own_features() {
        let core = in_tests(krate("libs", "orchestrator-core", &[]), "orchestrator-core");
        assert_eq!(house(core), Vec::<String>::new());
    }

    #[test]
    fn wire_types_that_know_a_crate_of_ours_are_a_breach() {
        let breaches = house(krate("contracts", "api-types", &["orchestrator-core"]));
        assert_breach(&breaches, "api-types -> orchestrator-core", "depends on no crate of the workspace");
    }

    #[test]
    fn wire_types_below_the_binary_are_a_breach() {
        let breaches = house(krate("libs", "adapter-host", &["api-types"]));
        assert_breach(&breaches, "adapter-host -> api-types", "only bin/*");
    }

    #[test]
    fn lib_that_names_an_adapter_or_a_binary_is_a_breach() {
        let rule = "libs/* may not depend on";
        assert_breach(&house(krate("libs", "adapter-host", &["mock"])), "adapter-host -> mock", rule);
        let breaches = house(krate("libs", "adapter-host", &["orchestratord"]));
        assert_breach(&breaches, "adapter-host -> orchestratord", rule);
    }

    #[test]
    fn lib_may_use_the_mock_in_its_tests_but_no_other_adapter() {
        let host = || krate("libs", "adapter-host", &["adapter-api"]);
        assert_eq!(house(in_tests(host(), "mock")), Vec::<String>::new());
        let breaches = house(in_tests(host(), "llamacpp-http"));
        assert_breach(&breaches, "adapter-host -> llamacpp-http (in tests)", "libs/* may not depend on");
    }

    #[test]
    fn adapter_that_names_another_is_a_breach_except_for_the_mock_in_tests() {
        let adapter = |to: &[&str]| krate("worker-adapters", "llamacpp-http", to);
        let rule = "adapters may not depend on each other";
        assert_breach(&house(adapter(&["mock"])), "llamacpp-http -> mock", rule);
        assert_eq!(house(in_tests(adapter(&["http-util"]), "mock")), Vec::<String>::new());
    }

    #[test]
    fn adapter_that_knows_the_core_is_a_breach_even_in_tests() {
        let adapter = in_tests(krate("worker-adapters", "mock", &[]), "orchestrator-core");
        assert_breach(&house(adapter), "mock -> orchestrator-core (in tests)", "may not depend on the core");
    }

    #[test]
    fn dependency_on_a_tool_is_a_breach_even_in_tests_but_not_for_a_tool() {
        let bin = in_tests(krate("bin", "orchestratord", &["adapter-host"]), "xtask");
        assert_breach(&house(bin), "orchestratord -> xtask (in tests)", "only a tool may depend on a tool");
        let bin = in_tests(krate("bin", "orchestratord", &["adapter-host"]), "tools-json-schema");
        assert_eq!(house(bin), Vec::<String>::new());
        let bin = krate("bin", "orchestratord", &["adapter-host", "tools-json-schema"]);
        assert_eq!(house(bin).len(), 1);
        let tool = krate("xtask", "xtask", &["tools-workspace"]);
        assert_eq!(house(tool), Vec::<String>::new());
    }

    #[test]
    fn crate_without_a_row_in_the_table_is_a_breach() {
        let breaches = house(krate("libs", "queue-helpers", &[]));
        assert_breach(&breaches, "queue-helpers", "must have its floor in the table");
    }
}
