//! JSON that is handed on as it was written.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One JSON value, kept as its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// The value that `text` is; `None` when it is no JSON.
    pub fn parse(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }

    /// The value as JSON; `None` when JSON cannot say it. What is written is not read again.
    pub fn of(value: &impl Serialize) -> Option<Self> {
        serde_json::value::to_raw_value(value).ok().map(Self)
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_written_is_json_and_the_same_as_what_is_read() {
        let said = BTreeMap::from([("a", vec!["\"\n\u{1}", "日"]), ("", vec![])]);
        let written = RawJson::of(&said).unwrap();
        assert_eq!(written.text(), r#"{"":[],"a":["\"\n\u0001","日"]}"#);
        assert_eq!(RawJson::parse(written.text().to_owned()), Some(written));
    }

    #[test]
    fn what_json_cannot_say_is_nothing() {
        assert_eq!(RawJson::of(&BTreeMap::from([(vec![1], 2)])), None);
        assert_eq!(RawJson::parse("{".to_owned()), None);
    }
}
