//! One way of naming a model, taken apart.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// No name of a model is longer.
pub const MODEL_REF_BYTES_MAX: usize = 512;

/// Where a model comes from, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelSource {
    /// It is called by a name that a catalog, an engine or a pool gave it, or by a relative path.
    Named,
    /// `hf:org/repo` or `hf:org/repo/file.gguf`.
    HuggingFace,
    /// `file:/abs/path`.
    File,
    /// `https://host/path`.
    Https,
    /// `s3://bucket/key`.
    S3,
    /// `oci://registry/repository[:tag]`.
    Oci,
}

/// A name of a model.
///
/// Its text is canonical: `file:///srv/m` and `file:/srv/m` are the same reference and are written alike.
//= ORCH-3090
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelRef {
    source: ModelSource,
    name: Arc<str>,
}

/// Why a text names no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MalformedModelRef {
    /// It is empty or too long.
    #[error("must have 1 to {MODEL_REF_BYTES_MAX} bytes")]
    Length,
    /// It holds what no name, path or address holds.
    #[error("must hold no spaces, control characters or backslashes")]
    Character,
    /// It could leave the folder that it is looked up in.
    #[error("must hold no `..`")]
    Parent,
    /// It reads like an option of a program.
    #[error("must not begin with `-`")]
    Dash,
    /// `hf:` without a repository.
    #[error("must be `hf:org/repo` or `hf:org/repo/file`, of letters, digits, `.`, `_` and `-`")]
    HuggingFace,
    /// `file:` with a path that is not absolute.
    #[error("must be `file:` and an absolute path")]
    File,
    /// An address without a host or a path, or with credentials in it.
    #[error("must be `{0}://`, a place and a path, without credentials")]
    Address(&'static str),
    /// `http:`.
    #[error("must be `https:`: over `http:` anybody on the way could put another model in its place")]
    Http,
    /// An address of another kind.
    #[error("must be a name, or begin with `hf:`, `file:`, `https:`, `s3:` or `oci:`")]
    Scheme,
}

impl ModelRef {
    /// Where it comes from.
    pub fn source(&self) -> ModelSource {
        self.source
    }

    /// What engines call it: `org/repo` for `hf:org/repo`, the path for `file:`, else the text itself.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl FromStr for ModelRef {
    type Err = MalformedModelRef;

    fn from_str(text: &str) -> Result<Self, MalformedModelRef> {
        if !(1..=MODEL_REF_BYTES_MAX).contains(&text.len()) {
            return Err(MalformedModelRef::Length);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(MalformedModelRef::Character);
        }
        if text.split('/').any(|part| part == "..") {
            return Err(MalformedModelRef::Parent);
        }
        let (source, name) = take_apart(text)?;
        if name.starts_with('-') {
            return Err(MalformedModelRef::Dash);
        }
        Ok(Self { source, name: name.into() })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            ModelSource::HuggingFace => write!(f, "hf:{}", self.name),
            ModelSource::File => write!(f, "file:{}", self.name),
            ModelSource::Named | ModelSource::Https | ModelSource::S3 | ModelSource::Oci => {
                f.write_str(&self.name)
            }
        }
    }
}

impl TryFrom<String> for ModelRef {
    type Error = MalformedModelRef;

    fn try_from(text: String) -> Result<Self, MalformedModelRef> {
        text.parse()
    }
}

impl From<ModelRef> for String {
    fn from(model: ModelRef) -> Self {
        model.to_string()
    }
}

fn take_apart(text: &str) -> Result<(ModelSource, &str), MalformedModelRef> {
    let whole = |source, scheme| {
        if is_address(text, scheme) { Ok((source, text)) } else { Err(MalformedModelRef::Address(scheme)) }
    };
    match text.split_once(':') {
        Some(("hf", rest)) if is_repository(rest) => Ok((ModelSource::HuggingFace, rest)),
        Some(("hf", _)) => Err(MalformedModelRef::HuggingFace),
        Some(("file", rest)) => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let absolute = path.starts_with('/') && !path.starts_with("//") && path.len() > 1;
            if absolute { Ok((ModelSource::File, path)) } else { Err(MalformedModelRef::File) }
        }
        Some(("https", _)) => whole(ModelSource::Https, "https"),
        Some(("s3", _)) => whole(ModelSource::S3, "s3"),
        Some(("oci", _)) => whole(ModelSource::Oci, "oci"),
        Some(("http", _)) => Err(MalformedModelRef::Http),
        // Engines call models `llama3:8b` and `org/repo:Q4_K_M`; only `://` makes an address.
        Some((_, rest)) if rest.starts_with("//") => Err(MalformedModelRef::Scheme),
        _ => Ok((ModelSource::Named, text)),
    }
}

/// `org/repo`, and perhaps a file in it.
fn is_repository(rest: &str) -> bool {
    let fits = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !part.is_empty() && part != "." && part.bytes().all(allowed)
    };
    rest.split('/').count() >= 2 && rest.split('/').all(fits)
}

/// `scheme://place/path`.
fn is_address(text: &str, scheme: &str) -> bool {
    let rest = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
    let parts = rest.and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(place, path)| !place.is_empty() && !place.contains('@') && !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(ModelSource, String), MalformedModelRef> {
        text.parse::<ModelRef>().map(|it| (it.source(), it.name().to_string()))
    }

    //= ORCH-3090 type=test
    #[test]
    fn each_way_of_naming_a_model_is_read() {
        for (text, source, name) in [
            ("SmolLM2", ModelSource::Named, "SmolLM2"),
            ("llama3:8b", ModelSource::Named, "llama3:8b"),
            ("bartowski/Llama-3.2-1B-GGUF:Q4_K_M", ModelSource::Named, "bartowski/Llama-3.2-1B-GGUF:Q4_K_M"),
            ("models/tiny.gguf", ModelSource::Named, "models/tiny.gguf"),
            ("/srv/models/tiny.gguf", ModelSource::Named, "/srv/models/tiny.gguf"),
            ("hf:org/repo", ModelSource::HuggingFace, "org/repo"),
            ("hf:org/repo/q4/model.gguf", ModelSource::HuggingFace, "org/repo/q4/model.gguf"),
            ("file:/srv/tiny.gguf", ModelSource::File, "/srv/tiny.gguf"),
            ("file:///srv/tiny.gguf", ModelSource::File, "/srv/tiny.gguf"),
            ("https://host/m.gguf", ModelSource::Https, "https://host/m.gguf"),
            ("s3://bucket/m.gguf", ModelSource::S3, "s3://bucket/m.gguf"),
            ("oci://registry:5000/org/m:v1", ModelSource::Oci, "oci://registry:5000/org/m:v1"),
        ] {
            assert_eq!(read(text), Ok((source, name.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_reference_reads_back_from_its_own_text() {
        for (text, canonical) in [
            ("llama3:8b", "llama3:8b"),
            ("hf:org/repo/m.gguf", "hf:org/repo/m.gguf"),
            ("file:///srv/m.gguf", "file:/srv/m.gguf"),
            ("s3://bucket/m.gguf", "s3://bucket/m.gguf"),
        ] {
            let model: ModelRef = text.parse().unwrap();
            assert_eq!(model.to_string(), canonical);
            let json = serde_json::to_string(&model).unwrap();
            assert_eq!(serde_json::from_str::<ModelRef>(&json).unwrap(), model);
        }
        assert!(serde_json::from_str::<ModelRef>("\"http://host/m\"").is_err());
    }

    #[test]
    fn what_names_no_model_is_refused_with_its_reason() {
        use MalformedModelRef::*;
        for (text, reason) in [
            ("", Length),
            (&"x".repeat(513), Length),
            ("a b", Character),
            ("a\nb", Character),
            ("a\\b", Character),
            ("a\0", Character),
            ("models/../../etc/passwd", Parent),
            ("file:/srv/../etc/passwd", Parent),
            ("--help", Dash),
            ("hf:", HuggingFace),
            ("hf:repo", HuggingFace),
            ("hf:org//repo", HuggingFace),
            ("hf:org/re po", Character),
            ("hf:org/repo?x", HuggingFace),
            ("hf:-org/repo", Dash),
            ("file:", File),
            ("file:tiny.gguf", File),
            ("file:////tiny.gguf", File),
            ("file://host/tiny.gguf", File),
            ("https://host", Address("https")),
            ("https:/host/m", Address("https")),
            ("https://user:secret@host/m", Address("https")),
            ("s3://bucket", Address("s3")),
            ("oci:m", Address("oci")),
            ("http://host/m", Http),
            ("ftp://host/m", Scheme),
        ] {
            assert_eq!(read(text), Err(reason), "{text}");
        }
    }
}
