//! A log record is exactly one line of JSON, with each key once, whatever stands in its fields.
#![no_main]

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use telemetry::JsonLayer;
use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt, registry};

fuzz_target!(|said: Said| {
    let page = Page::default();
    tracing::subscriber::with_default(registry().with(JsonLayer::new(page.clone())), || said.speak());
    let bytes = page.0.lock().expect("one thread").clone();
    let line = std::str::from_utf8(&bytes).expect("a log is text");
    assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "not one line: {line:?}");
    let body = &line[..line.len() - 1];
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    assert!(!body.contains(breaks), "a terminal would act upon {body:?}");
    let Record(record) = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let value = |name: &str| record.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    assert_eq!(value("level"), Some(&Value::from("warn")));
    assert_eq!(value("msg"), Some(&Value::from(said.message.as_str())));
    assert_eq!(value("text"), Some(&Value::from(said.text.as_str())), "a text changed on its way");
    assert_eq!(value("inner"), Some(&Value::from(said.span.as_str())), "a text of the span changed");
    assert_eq!(value("number"), Some(&Value::from(said.number)));
    assert_eq!(value("debug"), Some(&Value::from(format!("{:?}", said.debug))));
    assert_eq!(value("field_target"), Some(&Value::from(said.text.as_str())));
});

#[derive(Debug, Arbitrary)]
struct Said {
    message: String,
    text: String,
    span: String,
    debug: Vec<String>,
    number: i64,
    float: f64,
    error: (String, String),
}

impl Said {
    fn speak(&self) {
        let span = tracing::warn_span!("around", inner = %self.span, text = "hidden by the record's own");
        let _inside = span.enter();
        let error = Failure(self.error.0.clone(), Some(Box::new(Failure(self.error.1.clone(), None))));
        tracing::warn!(
            target: "orchestratord::fuzz",
            text = %self.text,
            debug = ?self.debug,
            number = self.number,
            float = self.float,
            error = &error as &dyn std::error::Error,
            target = %self.text,
            level = %self.text,
            "{}",
            self.message
        );
    }
}

#[derive(Debug)]
struct Failure(String, Option<Box<Failure>>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

/// A JSON object in which no key stands twice.
struct Record(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Record;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let (mut members, mut names) = (Vec::new(), BTreeSet::new());
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    assert!(names.insert(name.clone()), "{name:?} stands twice");
                    members.push((name, value));
                }
                Ok(Record(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Where lines go.
#[derive(Debug, Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map(|mut page| page.extend_from_slice(bytes)).ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Page {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}
