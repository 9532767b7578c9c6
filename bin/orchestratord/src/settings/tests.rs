//! What a start says about how it is reached, and what is for development only.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use super::*;

/// Somewhere to write that a test can read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is said while `part` is made ready under these settings.
fn said(settings: &[(&str, &str)], part: impl FnOnce(&Config)) -> String {
    let base = [("LLORCH_API_TOKEN", "0123456789abcdef0123456789abcdef"), ("ORCHD_STORE_KIND", "memory")];
    let env = base.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = crate::config::load([], env).unwrap();
    let page = Page::default();
    let writer = page.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || part(&config));
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn said_of_tls(bind_addr: &str) -> String {
    said(&[("ORCHD_BIND_ADDR", bind_addr)], |config| assert!(tls(config).unwrap().is_none()))
}

#[test]
fn a_policy_that_lets_engines_compute_on_the_cpu_is_said_aloud() {
    let of = |policy: &str| {
        said(&[("ORCHD_GPU_POLICY", policy)], |config| {
            rules(config);
        })
    };
    assert!(of("allow-cpu").contains("WARN") && of("allow-cpu").contains("for development only"));
    assert_eq!(of("vram-only"), "");
}

//= AUTH-1012 type=test
#[test]
fn a_server_without_tls_warns_where_other_machines_reach_it() {
    for open in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80"] {
        assert!(said_of_tls(open).contains("WARN"), "{open}");
    }
    for local in ["127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(said_of_tls(local), "", "{local}");
    }
}
