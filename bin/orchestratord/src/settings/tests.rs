//! What a start says about how it is reached.

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

fn said(bind_addr: &str) -> String {
    let env = [
        ("ORCHD_BIND_ADDR", bind_addr),
        ("LLORCH_API_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("ORCHD_STORE_KIND", "memory"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = crate::config::load([], env).unwrap();
    let page = Page::default();
    let writer = page.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || assert!(tls(&config).unwrap().is_none()));
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

//= AUTH-1012 type=test
#[test]
fn a_server_without_tls_warns_where_other_machines_reach_it() {
    for open in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80"] {
        assert!(said(open).contains("WARN"), "{open}");
    }
    for local in ["127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(said(local), "", "{local}");
    }
}
