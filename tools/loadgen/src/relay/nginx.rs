//! The control: nginx before the engine, set up to copy as cheaply as it can without buffering.

use std::{
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{child::ChildGuard, scratch::Scratch};

pub(crate) const NAME: &str = "nginx";

/// The executable, if there is one. Debian keeps it where only root's PATH leads.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("nginx")).find(|file| file.is_file())
}

/// Starts one worker that listens on `own` and relays to `engine`, with all its files in `scratch`.
pub(crate) fn start(
    executable: &Path,
    scratch: &Scratch,
    own: SocketAddr,
    engine: SocketAddr,
) -> Result<ChildGuard> {
    // Started by root, the worker would become a user who may not enter our folder.
    let owner = if scratch.path().metadata()?.uid() == 0 { "user root;\n" } else { "" };
    let config = scratch.write("nginx.conf", &format!("{owner}{}", config(own, engine)))?;
    let mut command = Command::new(executable);
    command.arg("-p").arg(scratch.path()).arg("-c").arg(config).arg("-e").arg("error.log");
    ChildGuard::start(NAME, command, scratch.path())
}

fn config(own: SocketAddr, engine: SocketAddr) -> String {
    format!(
        "daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 16000; }}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  upstream engine {{
    server {engine};
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {own};
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering off;
    }}
  }}
}}
"
    )
}
