//! The processes of one benchmark: an engine, and two relays before it.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path,
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{child::ChildGuard, cpu, nginx, scratch::Scratch};
use crate::load::Mode;

/// One way from the load to the engine.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) target: SocketAddr,
    pub(crate) mode: Mode,
    /// Which of the paths it is compared with.
    pub(crate) control: Option<usize>,
    /// Whose CPU time counts.
    pub(crate) processes: Vec<u32>,
}

struct Server {
    child: ChildGuard,
    target: SocketAddr,
    workers: Vec<u32>,
}

/// Everything that runs; dropped in this order, relays before their engine.
pub(crate) struct Stage {
    orchestratord: Option<Server>,
    nginx: Option<Server>,
    engine: Server,
    _scratch: Scratch,
}

impl Stage {
    /// Starts all processes and waits until each of them answers.
    pub(crate) async fn start(orchestratord: Option<&path::Path>, shape: &Shape) -> Result<Self> {
        let scratch = Scratch::new(&format!("pace-{}", shape.pace))?;
        let engine = start_engine(&scratch, shape.pace, shape.slots).await?;
        let nginx = match nginx::find() {
            Some(executable) => Some(start_nginx(&executable, &scratch, engine.target).await?),
            None => None,
        };
        let orchestratord = match orchestratord {
            Some(executable) => Some(start_orchestratord(executable, &scratch, engine.target, shape).await?),
            None => None,
        };
        Ok(Self { orchestratord, nginx, engine, _scratch: scratch })
    }

    /// For each dialect the controls first, what they are compared with last.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        for dialect in [Dialect::Own, Dialect::OpenAi] {
            let offset = paths.len();
            let behind = |path: Path| Path { control: path.control.map(|at| at + offset), ..path };
            paths.extend(self.paths_of(dialect).into_iter().map(behind));
        }
        paths
    }

    /// The engine, nginx if there is one, and the server if it was given.
    pub(crate) fn paths_of(&self, dialect: Dialect) -> Vec<Path> {
        let path = |name, mode, control, server: &Server| Path {
            name,
            target: server.target,
            mode,
            control,
            processes: [&[server.child.process()], server.workers.as_slice()].concat(),
        };
        let (names, (control, own)) = (dialect.names(), dialect.modes());
        let mut paths = vec![path(names.engine, control, None, &self.engine)];
        paths.extend(self.nginx.as_ref().map(|server| path(names.nginx, control, None, server)));
        let nginx_at = self.nginx.is_some().then_some(1);
        paths.extend(self.orchestratord.as_ref().map(|server| path(names.server, own, nginx_at, server)));
        paths
    }
}

/// What the processes are set up for.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Tokens per second of each stream of the engine; 0 is as fast as possible.
    pub(crate) pace: u32,
    /// The engine's slots.
    pub(crate) slots: u32,
    /// How many tasks may wait.
    pub(crate) capacity: u32,
    /// Further lines of the server's configuration, with dotted keys.
    pub(crate) more: &'static str,
}

impl Shape {
    /// Room for every stream at once.
    pub(crate) fn roomy(pace: u32, streams_max: u32) -> Self {
        let slots = streams_max.max(1_000);
        Self { pace, slots, capacity: slots * 4, more: "" }
    }
}

/// In which dialect the client and the engine speak.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dialect {
    /// Each its own: the server's `/v2`, the engine's `/completion`.
    Own,
    /// Both that of `OpenAI`.
    OpenAi,
}

struct Names {
    engine: &'static str,
    nginx: &'static str,
    server: &'static str,
}

impl Dialect {
    /// How the controls and the server are spoken to.
    fn modes(self) -> (Mode, Mode) {
        match self {
            Self::Own => (Mode::Raw, Mode::Native),
            Self::OpenAi => (Mode::Openai, Mode::Openai),
        }
    }

    fn names(self) -> Names {
        match self {
            Self::Own => Names { engine: "engine direct", nginx: nginx::NAME, server: "orchestratord" },
            Self::OpenAi => Names { engine: "engine openai", nginx: "nginx openai", server: "orchd openai" },
        }
    }
}

async fn start_engine(scratch: &Scratch, pace: u32, slots: u32) -> Result<Server> {
    let target = free_address()?;
    let mut command = Command::new(std::env::current_exe().context("finding this program's own file")?);
    command.args(["engine", "--port", &target.port().to_string()]);
    command.args(["--pace", &pace.to_string(), "--slots", &slots.to_string()]);
    let mut child = ChildGuard::start("engine", command, scratch.path())?;
    child.ready(target, "/health").await?;
    Ok(Server { child, target, workers: Vec::new() })
}

async fn start_nginx(executable: &path::Path, scratch: &Scratch, engine: SocketAddr) -> Result<Server> {
    let target = free_address()?;
    let mut child = nginx::start(executable, scratch, target, engine)?;
    child.ready(target, "/health").await?;
    let workers = cpu::children_of(child.process())?;
    ensure!(!workers.is_empty(), "nginx has no worker process");
    Ok(Server { child, target, workers })
}

async fn start_orchestratord(
    executable: &path::Path,
    scratch: &Scratch,
    engine: SocketAddr,
    shape: &Shape,
) -> Result<Server> {
    let target = free_address()?;
    let config = scratch.write("orchestratord.toml", &server_config(target, engine, shape))?;
    let mut command = Command::new(executable);
    // A developer's own settings must not change what is measured.
    command.env_clear().env("HOME", scratch.path());
    command.arg("--config").arg(config);
    let mut child = ChildGuard::start("orchestratord", command, scratch.path())?;
    child.ready(target, "/ready").await?;
    Ok(Server { child, target, workers: Vec::new() })
}

/// The context is large enough for the longest prompt that is measured.
fn server_config(own: SocketAddr, engine: SocketAddr, shape: &Shape) -> String {
    let Shape { slots, capacity, more, .. } = shape;
    format!(
        "bind_addr = \"{own}\"
log.filter = \"warn\"
admission.capacity = {capacity}
{more}

[[pools]]
id = \"bench\"
engine = \"llamacpp\"
endpoint = \"http://{engine}\"
slots = {slots}
ctx_max = 1000000
"
    )
}

/// A port that is free now. Another program could take it before the server does, and then its start
/// fails with its own message.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_configured_with_room_for_every_stream() {
        let shape = Shape { more: "jobs.retained_max = 7", ..Shape::roomy(0, 64) };
        let config = server_config("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap(), &shape);
        for line in [
            "bind_addr = \"127.0.0.1:1\"",
            "endpoint = \"http://127.0.0.1:2\"",
            "admission.capacity = 4000",
            "slots = 1000",
            "jobs.retained_max = 7",
        ] {
            assert!(config.lines().any(|given| given == line), "{line} is not in\n{config}");
        }
    }
}
