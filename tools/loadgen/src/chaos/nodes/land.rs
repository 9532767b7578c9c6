//! Where the processes stand: in network namespaces joined by a bridge, or beside each other on loopback.
//!
//! The tool starts itself again under `unshare`, which needs no root where user namespaces are allowed, and with
//! which everything ends: the processes are alone in their own process namespace.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Where `ip`, `mount` and the like are.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const APART: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// Whether all of it is allowed here.
const TRIAL: &str =
    "mount -t tmpfs none /run && mkdir /run/netns && ip netns add x && ip link add br0 type bridge";

/// One of the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Server,
    One,
    Two,
}

impl Place {
    const ALL: [Self; 3] = [Self::Server, Self::One, Self::Two];

    /// The last number of its address.
    const fn number(self) -> u8 {
        match self {
            Self::Server => 1,
            Self::One => 11,
            Self::Two => 12,
        }
    }

    fn name(self) -> String {
        format!("m{}", self.number())
    }
}

/// What the machines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Land {
    /// Namespaces, each with its own network.
    Apart,
    /// Addresses of loopback.
    Together,
}

/// Starts this program again in namespaces of its own. It only returns where that is not allowed.
pub(super) fn move_apart() -> Result<()> {
    for first in [&["--user", "--map-root-user"][..], &[]] {
        let mut trial = Command::new("unshare");
        trial.args(first).args(APART).args(["sh", "-c", TRIAL]).env("PATH", PATH);
        trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if trial.status().is_ok_and(|status| status.success()) {
            let own = std::env::current_exe()?;
            let mut again = Command::new("unshare");
            again.args(first).args(APART).arg(own).args(std::env::args_os().skip(1));
            // In there every run has the same process id, and folders are called by it.
            again.arg("--apart").arg(std::process::id().to_string());
            return Err(again.exec()).context("starting again under unshare");
        }
    }
    Ok(())
}

impl Land {
    /// Builds the bridge and one namespace per machine.
    pub(super) fn build() -> Result<Self> {
        ip_tool("mount", &["-t", "tmpfs", "none", "/run"])?;
        fs::create_dir("/run/netns")?;
        for line in ["link set lo up", "link add br0 type bridge", "link set br0 up"] {
            ip(line)?;
        }
        ip("addr add 10.77.0.254/24 dev br0")?;
        for place in Place::ALL {
            let (name, number) = (place.name(), place.number());
            ip(&format!("netns add {name}"))?;
            ip(&format!("link add v{number} type veth peer name eth0 netns {name}"))?;
            ip(&format!("link set v{number} master br0 up"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} addr add 10.77.0.{number}/24 dev eth0"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
        }
        Ok(Self::Apart)
    }

    pub(super) fn address(self, place: Place) -> IpAddr {
        let number = place.number();
        match self {
            Self::Apart => Ipv4Addr::new(10, 77, 0, number).into(),
            Self::Together => Ipv4Addr::new(127, 0, 0, number).into(),
        }
    }

    /// A program that is to run on this machine, with an empty environment.
    pub(super) fn command(self, place: Place, program: &Path) -> Command {
        let mut command = match self {
            Self::Apart => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &place.name()]).arg(program);
                command
            }
            Self::Together => Command::new(program),
        };
        command.env_clear().env("PATH", PATH);
        command
    }

    /// Cuts a machine off.
    pub(super) fn cut(place: Place) -> Result<()> {
        ip(&format!("link set v{} down", place.number()))
    }

    /// Joins it again.
    pub(super) fn heal(place: Place) -> Result<()> {
        ip(&format!("link set v{} up", place.number()))
    }

    /// How many sockets listen on all machines; `None` where others listen, too.
    pub(super) fn listeners(self) -> Result<Option<usize>> {
        if self == Self::Together {
            return Ok(None);
        }
        let mut open = 0;
        for place in Place::ALL {
            for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
                let output = self.command(place, Path::new("cat")).arg(table).output()?;
                open += listening(&String::from_utf8_lossy(&output.stdout));
            }
        }
        Ok(Some(open))
    }
}

/// The kernel's number for a socket that listens is 0A, in the fourth column.
fn listening(table: &str) -> usize {
    table.lines().filter(|line| line.split_whitespace().nth(3) == Some("0A")).count()
}

fn ip(line: &str) -> Result<()> {
    ip_tool("ip", &line.split(' ').collect::<Vec<_>>())
}

fn ip_tool(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).env("PATH", PATH).output();
    let output = output.with_context(|| format!("starting {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", args.join(" "), said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_listen_are_counted() {
        let table = "  sl  local_address rem_address   st tx_queue\n   0: 0B4D000A:23F0 00000000:0000 0A 0:0\n   \
                     1: 0B4D000A:23F0 014D000A:C350 01 0:0\n";
        assert_eq!(listening(table), 1);
        assert_eq!(listening(""), 0);
    }
}
