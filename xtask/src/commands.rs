//! The table of commands: name, one line of help, function.
//!
//! It is the only place that a new command must be written into.

use anyhow::{Result, bail};

use crate::{
    arch, bench, chaos, dev_loop, fuzz, live, quickstart, regen, schemathesis, setup, simulate, tidy,
    verdict::Verdict,
};

struct Command {
    name: &'static str,
    summary: &'static str,
    run: fn(&[String]) -> Result<Verdict>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "dev:loop",
        summary: "every check that CI runs, stopping at the first failure",
        run: dev_loop::run,
    },
    Command {
        name: "arch",
        summary: "which crate may depend on which, and which file may name what",
        run: arch::run,
    },
    Command {
        name: "tidy",
        summary: "lengths of files and functions, docs, links, blocks of pages, READMEs",
        run: tidy::run,
    },
    Command {
        name: "regen-openapi",
        summary: "write contracts/openapi/*.yaml from the server's code [--check: only tell whether they are current]",
        run: regen::openapi,
    },
    Command {
        name: "regen-schema",
        summary: "write contracts/config/*.schema.json and docs/CONFIGURATION.md from the settings [--check: as above]",
        run: regen::schema,
    },
    Command {
        name: "setup",
        summary: "get the real llama.cpp server, two small models, and clients [--vllm: and vLLM]",
        run: setup::run,
    },
    Command {
        name: "quickstart",
        summary: "see one task answered by the real engine; then try it yourself [--once]",
        run: quickstart::run,
    },
    Command {
        name: "live",
        summary: "only the tests against the real engine [--vllm: and against vLLM]",
        run: live::run,
    },
    Command {
        name: "schemathesis",
        summary: "hold the server's answers against its OpenAPI documents [--requests N]",
        run: schemathesis::run,
    },
    Command {
        name: "simulate",
        summary: "run the scheduler's simulator [--events N] [--seed S]",
        run: simulate::run,
    },
    Command {
        name: "fuzz",
        summary: "run the fuzz targets, with nightly Rust and cargo-fuzz [TARGET] [--seconds N]",
        run: fuzz::run,
    },
    Command {
        name: "bench",
        summary: "`bench table|relay|accept|nodes [ARGS]`: measure all promises of speed, the relay, acceptance, or idle nodes",
        run: bench::run,
    },
    Command {
        name: "chaos",
        summary: "`chaos kill|strace|nodes [--debug] [ARGS]`: break server or nodes, and check what was promised",
        run: chaos::run,
    },
];

/// Runs the command that the first argument names with the rest of the arguments.
pub(crate) fn dispatch(arguments: &[String]) -> Result<Verdict> {
    let Some((name, rest)) = arguments.split_first() else {
        print_list();
        return Ok(Verdict::Good);
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print_list();
        return Ok(Verdict::Good);
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None => bail!("{}", unknown(name)),
    }
}

/// Whether there is a command of this name.
pub(crate) fn is_one(name: &str) -> bool {
    COMMANDS.iter().any(|command| command.name == name)
}

/// Refuses arguments for a command that takes none, so that a typing error is not lost in silence.
pub(crate) fn no_arguments(command: &str, arguments: &[String]) -> Result<()> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => bail!("`cargo xtask {command}` takes no argument, but got `{argument}`"),
    }
}

/// Whether the one flag that a command takes is given; anything else is refused.
pub(crate) fn only_flag(command: &str, flag: &str, arguments: &[String]) -> Result<Flag> {
    match arguments {
        [] => Ok(Flag::Absent),
        [argument] if argument == flag => Ok(Flag::Given),
        _ => bail!("`cargo xtask {command}` takes only `{flag}`, but got `{}`", arguments.join(" ")),
    }
}

/// Whether a flag is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    Given,
    Absent,
}

fn print_list() {
    println!("cargo xtask COMMAND");
    for command in COMMANDS {
        println!("  {:<13} {}", command.name, command.summary);
    }
}

fn unknown(name: &str) -> String {
    let nearest = COMMANDS
        .iter()
        .map(|command| (strsim::damerau_levenshtein(name, command.name), command.name))
        .min()
        .filter(|(distance, _)| *distance <= name.len() / 3 + 1);
    match nearest {
        Some((_, candidate)) => format!("there is no command `{name}`; did you mean `{candidate}`?"),
        None => format!("there is no command `{name}`; `cargo xtask` prints the list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_command_names_the_nearest_one() {
        assert_eq!(unknown("quikstart"), "there is no command `quikstart`; did you mean `quickstart`?");
        assert_eq!(unknown("devloop"), "there is no command `devloop`; did you mean `dev:loop`?");
    }

    #[test]
    fn word_unlike_every_command_points_at_the_list() {
        assert!(unknown("frobnicate-everything").contains("prints the list"));
        assert!(unknown("nope").contains("prints the list"));
    }

    #[test]
    fn argument_of_a_command_without_arguments_is_refused() {
        let error = no_arguments("arch", &["--fix".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("`--fix`"), "{error}");
    }

    #[test]
    fn names_of_commands_are_unique() {
        let mut names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
    }
}
