//! The rules over what product code may name, and where.
//!
//! They hold what the graph of crates cannot see: that inside the binary, too, each outside thing has one door.

use tools_workspace::source::{Side, SourceFile, has_word};

struct SourceRule {
    /// Whether this line of code names the thing.
    names: fn(&str) -> bool,
    /// Whether the file may.
    may: fn(&SourceFile) -> bool,
    sentence: &'static str,
}

const RULES: &[SourceRule] = &[
    SourceRule {
        names: names_adapter_crate,
        may: |file| !file.is_below("bin") || file.path.ends_with("src/adapters.rs"),
        sentence: "of a binary only src/adapters.rs may name a concrete adapter",
    },
    SourceRule {
        names: |line| line.contains("std::env::") || line.contains("env::var"),
        may: |file| stands_apart(file) || (file.is_below("bin") && file.path.ends_with("src/config.rs")),
        sentence: "only a binary's src/config.rs may read the environment",
    },
    SourceRule {
        names: |line| has_word(line, "StatusCode"),
        may: |file| stands_apart(file) || file.is_below("bin") || file.is_below("worker-adapters"),
        sentence: "no crate below bin/ and worker-adapters/ may name an HTTP status",
    },
    SourceRule {
        names: |line| has_word(line, "tracing_subscriber"),
        may: |file| stands_apart(file) || file.path.iter().any(|part| part == "telemetry"),
        sentence: "only libs/telemetry may install a log subscriber",
    },
    SourceRule {
        names: |line| has_word(line, "unbounded_channel"),
        may: |_| false,
        sentence: "every queue has a bound",
    },
];

/// The breaches of one file.
pub(super) fn check(file: &SourceFile) -> Vec<String> {
    if file.side == Side::Test {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    for rule in RULES.iter().filter(|rule| !(rule.may)(file)) {
        let lines = file.code_lines().filter(|(_, line)| (rule.names)(line));
        breaches
            .extend(lines.map(|(number, _)| format!("{}:{number}: {}", file.path.display(), rule.sentence)));
    }
    breaches
}

fn stands_apart(file: &SourceFile) -> bool {
    ["xtask", "tools", "fuzz"].iter().any(|folder| file.is_below(folder))
}

/// `mock` is also a plain word, so only its use as a path counts.
fn names_adapter_crate(line: &str) -> bool {
    let line = line.trim_start();
    let mock_is_path = line.match_indices("mock::").any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    });
    has_word(line, "llamacpp_http") || mock_is_path || line.starts_with("use mock")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn breaches(path: &str, text: &str) -> Vec<String> {
        check(&SourceFile::new(Path::new(path), text.to_owned(), Side::Product))
    }

    #[track_caller]
    fn assert_only_in(allowed: &[&str], forbidden: &[&str], text: &str, sentence: &str) {
        for path in allowed {
            assert_eq!(breaches(path, text), Vec::<String>::new(), "{path}");
        }
        for path in forbidden {
            assert_eq!(breaches(path, text), [format!("{path}:1: {sentence}")]);
        }
    }

    #[test]
    fn concrete_adapter_is_named_in_one_file_of_the_binary() {
        let allowed = ["bin/orchestratord/src/adapters.rs", "worker-adapters/llamacpp-http/src/lib.rs"];
        let forbidden = ["bin/orchestratord/src/app.rs"];
        let sentence = "of a binary only src/adapters.rs may name a concrete adapter";
        assert_only_in(&allowed, &forbidden, "use llamacpp_http::LlamaCpp;", sentence);
        assert_only_in(&allowed, &forbidden, "let engine = mock::Mock::new();", sentence);
        assert_only_in(&allowed, &forbidden, "use mock::{Mock, Script};", sentence);
    }

    #[test]
    fn word_mock_alone_is_no_adapter() {
        let text = "let mock = kind.mock; let a = EngineKind::mock::<T>();";
        assert_eq!(breaches("bin/orchestratord/src/app.rs", text), Vec::<String>::new());
    }

    #[test]
    fn environment_is_read_in_one_file() {
        assert_only_in(
            &["bin/orchestratord/src/config.rs", "xtask/src/main.rs", "tools/loadgen/src/main.rs"],
            &["bin/orchestratord/src/main.rs", "libs/auth-min/src/lib.rs"],
            "let path = std::env::var_os(NAME);",
            "only a binary's src/config.rs may read the environment",
        );
    }

    #[test]
    fn http_status_stays_at_the_edges() {
        assert_only_in(
            &["bin/orchestratord/src/api/error.rs", "worker-adapters/http-util/src/lib.rs"],
            &["libs/adapter-api/src/error.rs", "contracts/api-types/src/lib.rs"],
            "use http::StatusCode;",
            "no crate below bin/ and worker-adapters/ may name an HTTP status",
        );
    }

    #[test]
    fn log_subscriber_is_installed_in_one_place() {
        assert_only_in(
            &["libs/telemetry/src/lib.rs", "libs/telemetry/src/json.rs", "fuzz/fuzz_targets/log_line.rs"],
            &["bin/orchestratord/src/main.rs", "libs/narration-core/src/lib.rs"],
            "use tracing_subscriber::fmt;",
            "only libs/telemetry may install a log subscriber",
        );
    }

    #[test]
    fn unbounded_channel_is_a_breach_everywhere() {
        let forbidden = ["bin/orchestratord/src/app.rs", "tools/loadgen/src/main.rs"];
        assert_only_in(&[], &forbidden, "let (a, b) = mpsc::unbounded_channel();", "every queue has a bound");
    }

    #[test]
    fn comments_texts_and_tests_may_name_anything() {
        let text = "// std::env::var\nconst A: &str = \"StatusCode\";\n#[cfg(test)]\nmod tests {\n    use http::StatusCode;\n}\n";
        assert_eq!(breaches("libs/auth-min/src/lib.rs", text), Vec::<String>::new());
    }
}
