//! A server of a command's own, whatever the user's shell says.

use std::{net::TcpListener, path::Path, process::Command};

use anyhow::{Context, Result};

/// The server's binary, without the settings of the user's shell: they would make it another server.
pub(crate) fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if is_setting(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn is_setting(name: &str) -> bool {
    ["ORCHD_", "LLORCH_", "OTEL_"].iter().any(|prefix| name.starts_with(prefix))
        || matches!(name, "AUTH_OPTIONAL" | "TRUST_PROXY_AUTH" | "PROMETHEUS_METRICS_PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_users_shell_are_kept_from_the_server() {
        assert!(is_setting("ORCHD_BIND_ADDR") && is_setting("LLORCH_CONTROL_TOKEN"));
        assert!(!is_setting("PATH") && !is_setting("RUST_LOG"));
    }
}
