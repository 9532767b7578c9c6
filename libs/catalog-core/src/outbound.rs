//! What may be fetched from the network, and from where.
//!
//! Nothing may, until the operator says so and names the hosts. One parser reads an address, the one whose
//! result the downloader connects to, so no second reading can differ from the one that was checked: an
//! address must be spelled exactly as that parser writes it.

mod hosts;
mod oci;

use thiserror::Error;
use url::{Host, Url};

pub use self::{
    hosts::{AllowedHost, MalformedHost},
    oci::OciReference,
};
use crate::model_ref::{ModelRef, ModelSource};

const HUGGING_FACE: &str = "huggingface.co";

/// Whether the server may fetch models, and from which hosts. By default from none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OutboundPolicy {
    /// Nothing is fetched.
    //= ORCH-3080
    #[default]
    Off,
    /// Models are fetched from these hosts and no others.
    From(Vec<AllowedHost>),
}

/// What the downloader connects to, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A file behind an `https:` address.
    Https(Url),
    /// A model in an OCI registry, whose manifest tells which blobs to fetch.
    Oci {
        /// The registry: scheme, host and port.
        registry: Url,
        /// The repository in it.
        repository: String,
        /// Which version of it.
        reference: OciReference,
    },
}

/// Why something is not fetched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// The operator did not switch it on.
    #[error("the server fetches no models: fetching is switched off")]
    Off,
    /// A name or a local file.
    #[error("only `hf:`, `https:`, `s3:` and `oci:` lead to something to fetch")]
    NotRemote,
    /// A repository alone.
    #[error("names no file: write `hf:org/repo/file`")]
    NoFile,
    /// It is no address, or one of another scheme.
    #[error("is no `https:` address with a host")]
    NoAddress,
    /// It carries a name or a password.
    #[error("must hold no credentials")]
    Credentials,
    /// It carries a fragment, which no server ever sees.
    #[error("must hold no `#`")]
    Fragment,
    /// It hides a separator or a control character.
    #[error("must not hide `/`, `\\`, `%` or control characters behind `%`")]
    Hidden,
    /// It would be read as another address than the one that is written.
    #[error("must be written `{canonical}`")]
    Spelling {
        /// How it would be read.
        canonical: String,
    },
    /// The host ends with a dot.
    #[error("the host `{0}` must not end with a dot")]
    TrailingDot(String),
    /// The host is an IP address that the operator did not allow.
    #[error("`{0}` is an IP address, and not on the list of hosts")]
    IpAddress(String),
    /// The host is not on the operator's list.
    #[error("`{0}` is not on the list of hosts")]
    Host(String),
    /// The port is neither 443 nor on the operator's list.
    #[error("port {port} of `{host}` is not on the list of hosts")]
    Port {
        /// The host.
        host: String,
        /// The port that was asked for.
        port: u16,
    },
    /// `s3:` with a name that no bucket has, or with one that TLS cannot vouch for.
    #[error("a bucket must have 3 to 63 lower-case letters, digits or `-`")]
    Bucket,
    /// `oci:` with a repository, tag or digest that there cannot be.
    #[error("must be `oci://registry/repository`, then perhaps `:tag` or `@sha256:digest`")]
    Oci,
}

impl OutboundPolicy {
    /// What to connect to for `model`.
    ///
    /// # Errors
    /// When fetching is off, or `model` names nothing that may be fetched.
    //= ORCH-3080
    pub fn check(&self, model: &ModelRef) -> Result<Remote, Refused> {
        if *self == Self::Off {
            return Err(Refused::Off);
        }
        let name = model.name();
        match model.source() {
            ModelSource::Named | ModelSource::File => Err(Refused::NotRemote),
            ModelSource::Https => self.check_url(name).map(Remote::Https),
            ModelSource::HuggingFace => self.check_url(&hugging_face(name)?).map(Remote::Https),
            ModelSource::S3 => self.check_url(&s3(name)?).map(Remote::Https),
            ModelSource::Oci => {
                let parts = oci::take_apart(name)?;
                let registry = self.check_url(&format!("https://{}/", parts.registry))?;
                let repository = parts.repository.to_owned();
                Ok(Remote::Oci { registry, repository, reference: parts.reference })
            }
        }
    }

    /// Checks an address that a server leads on to, such as the target of a redirect.
    ///
    /// # Errors
    /// When fetching is off, or this address may not be connected to.
    //= ORCH-3080
    pub fn check_url(&self, text: &str) -> Result<Url, Refused> {
        let Self::From(allowed) = self else { return Err(Refused::Off) };
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "https").ok_or(Refused::NoAddress)?;
        let host = url.host().ok_or(Refused::NoAddress)?.to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        if url.fragment().is_some() {
            return Err(Refused::Fragment);
        }
        check_host(allowed, &host, url.port_or_known_default().ok_or(Refused::NoAddress)?)?;
        if hides_something(text) {
            return Err(Refused::Hidden);
        }
        if url.as_str() != text {
            return Err(Refused::Spelling { canonical: url.into() });
        }
        Ok(url)
    }
}

fn check_host(allowed: &[AllowedHost], host: &Host<String>, port: u16) -> Result<(), Refused> {
    if allowed.iter().any(|one| one.host() == host && one.port() == port) {
        return Ok(());
    }
    let is_known = allowed.iter().any(|one| one.host() == host);
    match host {
        Host::Domain(name) if name.ends_with('.') => Err(Refused::TrailingDot(name.clone())),
        _ if is_known => Err(Refused::Port { host: host.to_string(), port }),
        Host::Domain(name) => Err(Refused::Host(name.clone())),
        Host::Ipv4(_) | Host::Ipv6(_) => Err(Refused::IpAddress(host.to_string())),
    }
}

/// Whether an escape in `text` stands for what a server could take for a separator, or is no escape. In a query,
/// where separators separate nothing and signed addresses carry them, only control characters are refused.
fn hides_something(text: &str) -> bool {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    has_escape_of(path, b"/\\%") || has_escape_of(query, b"")
}

/// Whether `text` has an escape of a control character or of one of `others`, or a broken one.
fn has_escape_of(text: &str, others: &[u8]) -> bool {
    text.split('%').skip(1).any(|behind| {
        let code = behind.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        code.is_none_or(|byte| byte.is_ascii_control() || others.contains(&byte))
    })
}

/// `org/repo/file` at the hub, in its newest version.
fn hugging_face(name: &str) -> Result<String, Refused> {
    let mut parts = name.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(org), Some(repo), Some(file)) => {
            Ok(format!("https://{HUGGING_FACE}/{org}/{repo}/resolve/main/{file}"))
        }
        _ => Err(Refused::NoFile),
    }
}

/// `s3://bucket/key` at the host of its bucket, whose certificate covers no bucket with a dot in its name.
fn s3(name: &str) -> Result<String, Refused> {
    let rest = name.strip_prefix("s3://").ok_or(Refused::NoAddress)?;
    let (bucket, key) = rest.split_once('/').ok_or(Refused::NoAddress)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(3..=63).contains(&bucket.len())
        || !bucket.bytes().all(fits)
        || bucket.starts_with('-')
        || bucket.ends_with('-')
    {
        return Err(Refused::Bucket);
    }
    Ok(format!("https://{bucket}.s3.amazonaws.com/{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(hosts: &[&str]) -> OutboundPolicy {
        OutboundPolicy::From(hosts.iter().map(|host| host.parse().unwrap()).collect())
    }

    fn check(policy: &OutboundPolicy, text: &str) -> Result<String, Refused> {
        match policy.check(&text.parse().unwrap())? {
            Remote::Https(url) => Ok(url.into()),
            Remote::Oci { registry, repository, reference } => {
                Ok(format!("{registry} {repository} {reference}"))
            }
        }
    }

    //= ORCH-3080 type=test
    #[test]
    fn nothing_is_fetched_until_the_operator_says_so() {
        let off = OutboundPolicy::default();
        for text in ["hf:org/repo/m.gguf", "https://huggingface.co/m", "s3://bucket/m", "oci://r/m", "m"] {
            assert_eq!(check(&off, text), Err(Refused::Off), "{text}");
        }
        assert_eq!(off.check_url("https://huggingface.co/m"), Err(Refused::Off));
        let nobody = policy(&[]);
        assert_eq!(check(&nobody, "https://a.example/m"), Err(Refused::Host("a.example".to_owned())));
    }

    //= ORCH-3080 type=test
    #[test]
    fn each_way_of_naming_a_remote_model_leads_to_one_address() {
        let some =
            policy(&["huggingface.co", "models.example", "weights.s3.amazonaws.com", "ghcr.io", "r:5000"]);
        let hex = "0".repeat(64);
        for (text, leads_to) in [
            ("hf:org/repo/m.gguf", "https://huggingface.co/org/repo/resolve/main/m.gguf"),
            ("hf:org/repo/q4/m.gguf", "https://huggingface.co/org/repo/resolve/main/q4/m.gguf"),
            ("https://models.example/a%20b/m.gguf?v=a%2Fb", "https://models.example/a%20b/m.gguf?v=a%2Fb"),
            ("s3://weights/a/m.gguf", "https://weights.s3.amazonaws.com/a/m.gguf"),
            ("oci://ghcr.io/org/m", "https://ghcr.io/ org/m latest"),
            ("oci://ghcr.io/org/m:v1.2", "https://ghcr.io/ org/m v1.2"),
            ("oci://r:5000/m:v1", "https://r:5000/ m v1"),
            (&format!("oci://ghcr.io/m@sha256:{hex}"), &format!("https://ghcr.io/ m sha256:{hex}")),
        ] {
            assert_eq!(check(&some, text).as_deref(), Ok(leads_to), "{text}");
        }
    }

    //= ORCH-3080 type=test
    #[test]
    fn what_may_not_be_fetched_is_refused_with_its_reason() {
        let some = policy(&["huggingface.co", "models.example", "a.s3.amazonaws.com", "ghcr.io"]);
        let host = |name: &str| Refused::Host(name.to_owned());
        for (text, reason) in [
            ("llama3:8b", Refused::NotRemote),
            ("file:/srv/m", Refused::NotRemote),
            ("hf:org/repo", Refused::NoFile),
            ("https://models.example:8443/m", Refused::Port { host: "models.example".into(), port: 8443 }),
            ("https://models.example./m", Refused::TrailingDot("models.example.".to_owned())),
            ("https://models.example.evil.example/m", host("models.example.evil.example")),
            ("https://evil-models.example/m", host("evil-models.example")),
            ("https://localhost/m", host("localhost")),
            ("https://127.1/m", Refused::IpAddress("127.0.0.1".to_owned())),
            ("https://[::1]/m", Refused::IpAddress("[::1]".to_owned())),
            ("https://models.example/m#x", Refused::Fragment),
            ("https://models.example/a%2Fb", Refused::Hidden),
            ("https://models.example/%00", Refused::Hidden),
            ("https://models.example/%", Refused::Hidden),
            ("https://MODELS.example/m", Refused::Spelling { canonical: "https://models.example/m".into() }),
            (
                "https://models.example:443/m",
                Refused::Spelling { canonical: "https://models.example/m".into() },
            ),
            (
                "https://models.example/a/%2e%2e/m",
                Refused::Spelling { canonical: "https://models.example/m".into() },
            ),
            ("s3://a/m", Refused::Bucket),
            ("s3://a.b.c/m", Refused::Bucket),
            ("s3://UPPER/m", Refused::Bucket),
            ("s3://-abc/m", Refused::Bucket),
            ("s3://abc-/m", Refused::Bucket),
            ("s3://other/m", host("other.s3.amazonaws.com")),
            ("oci://ghcr.io/Org/m", Refused::Oci),
            ("oci://other.example/m", host("other.example")),
        ] {
            assert_eq!(check(&some, text), Err(reason), "{text}");
        }
        let signed = "https://user:secret@models.example/m";
        assert_eq!(some.check_url(signed), Err(Refused::Credentials));
        assert_eq!(some.check_url("http://models.example/m"), Err(Refused::NoAddress));
        assert_eq!(some.check_url("/m"), Err(Refused::NoAddress));
    }

    #[test]
    fn an_address_or_port_that_the_operator_named_is_allowed_in_that_spelling_alone() {
        let some = policy(&["127.0.0.1:8443", "[::1]:8443"]);
        assert!(some.check_url("https://127.0.0.1:8443/m").is_ok());
        assert!(some.check_url("https://[::1]:8443/m").is_ok());
        let canonical = "https://127.0.0.1:8443/m".to_owned();
        assert_eq!(some.check_url("https://127.1:8443/m"), Err(Refused::Spelling { canonical }));
        let refused = some.check_url("https://127.0.0.1/m");
        assert_eq!(refused, Err(Refused::Port { host: "127.0.0.1".to_owned(), port: 443 }));
    }
}
