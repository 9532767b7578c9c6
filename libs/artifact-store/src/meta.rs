//! What is known of an artifact besides its content.

use std::{fmt, str::FromStr};

use orchestrator_core::JobId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::ArtifactId;

/// The most bytes of a name.
const NAME_BYTES_MAX: usize = 255;
/// The most bytes of a media type.
const MEDIA_TYPE_BYTES_MAX: usize = 127;
/// The most jobs that are remembered for one artifact.
pub(crate) const JOBS_MAX: usize = 32;

/// A time of the wall clock, in milliseconds since 1970 began in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallMillis(pub u64);

/// What an artifact is for.
//= ORCH-3098
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What is going to be done.
    Plan,
    /// What was done, in short.
    Summary,
    /// Changes to files.
    Diff,
    /// What happened inside, step by step.
    Trace,
    /// What was said.
    Transcript,
    /// What programs wrote while they ran.
    Logs,
    /// Anything else.
    Other,
}

/// A text that is no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("kind must be plan, summary, diff, trace, transcript, logs or other")]
pub struct UnknownKind;

impl Kind {
    const ALL: [Self; 7] =
        [Self::Plan, Self::Summary, Self::Diff, Self::Trace, Self::Transcript, Self::Logs, Self::Other];

    /// Its name, as requests and files write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Summary => "summary",
            Self::Diff => "diff",
            Self::Trace => "trace",
            Self::Transcript => "transcript",
            Self::Logs => "logs",
            Self::Other => "other",
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// Why a text labels no artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MalformedLabel {
    /// A name that is empty, too long or not printable.
    #[error("name must have 1 to {NAME_BYTES_MAX} bytes and no control characters")]
    Name,
    /// A media type that could not stand in a header.
    #[error("media_type must be `type/subtype` of at most {MEDIA_TYPE_BYTES_MAX} visible ASCII characters")]
    MediaType,
}

/// What people call an artifact. It is never part of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// What kind of bytes an artifact holds, such as `text/plain; charset=utf-8`. It can stand in a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaType(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MediaType {
    /// The media type.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = MalformedLabel;

    fn try_from(text: String) -> Result<Self, MalformedLabel> {
        let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text)) } else { Err(MalformedLabel::Name) }
    }
}

impl TryFrom<String> for MediaType {
    type Error = MalformedLabel;

    fn try_from(text: String) -> Result<Self, MalformedLabel> {
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let whole = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        let essence = text.split(';').next().and_then(|essence| essence.trim_end().split_once('/'));
        let is_pair = essence.is_some_and(|(kind, sub)| visible(kind) && visible(sub) && !sub.contains('/'));
        let fits = text.len() <= MEDIA_TYPE_BYTES_MAX && whole && is_pair && !text.ends_with(' ');
        if fits { Ok(Self(text)) } else { Err(MalformedLabel::MediaType) }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl From<MediaType> for String {
    fn from(media_type: MediaType) -> Self {
        media_type.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What whoever stores an artifact may say about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    /// What kind of bytes it holds.
    pub media_type: Option<MediaType>,
    /// What people call it.
    pub name: Option<Name>,
    /// The job that it came from.
    pub job: Option<JobId>,
}

/// An artifact to store.
#[derive(Debug, Clone)]
pub struct NewArtifact<'a> {
    /// What it is for.
    pub kind: Kind,
    /// Its bytes.
    pub content: &'a [u8],
    /// When it was made, which starts its age.
    pub created: WallMillis,
    /// What else is said about it.
    pub labels: Labels,
    /// What it survives.
    pub flush: Flush,
}

/// What a stored artifact survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// A loss of power.
    Now,
    /// The end of the process; a loss of power may take it, and what is left of it is then set aside as damaged.
    Later,
}

/// What is known of a stored artifact.
///
/// When the same content is stored again, the first kind, media type and name stand; the time becomes
/// the later one and the job is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its name.
    pub id: ArtifactId,
    /// What it is for.
    pub kind: Kind,
    /// What kind of bytes it holds.
    pub media_type: Option<MediaType>,
    /// What people call it.
    pub name: Option<Name>,
    /// When it was last stored, which starts its age.
    pub created: WallMillis,
    /// The jobs that stored it, the latest last; of many, the latest 32.
    pub jobs: Vec<JobId>,
    /// How many bytes its content has.
    pub bytes: u64,
}

impl Meta {
    /// What is known of `new`, whose id is `id`.
    pub(crate) fn of(id: ArtifactId, new: &NewArtifact<'_>) -> Self {
        Self {
            id,
            kind: new.kind,
            media_type: new.labels.media_type.clone(),
            name: new.labels.name.clone(),
            created: new.created,
            jobs: new.labels.job.into_iter().collect(),
            bytes: new.content.len() as u64,
        }
    }

    /// What is known after the same content was stored again as `new`.
    pub(crate) fn again(&self, new: &NewArtifact<'_>) -> Self {
        let mut meta = self.clone();
        meta.created = meta.created.max(new.created);
        if let Some(job) = new.labels.job.filter(|job| !meta.jobs.contains(job)) {
            meta.jobs.push(job);
            meta.jobs.drain(..meta.jobs.len().saturating_sub(JOBS_MAX));
        }
        meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_by_its_name_and_no_other_text_is() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        for other in ["", "Plan", "log", "../plan"] {
            assert_eq!(other.parse::<Kind>(), Err(UnknownKind), "{other}");
        }
    }

    #[test]
    fn a_media_type_can_stand_in_a_header() {
        for good in ["text/plain", "text/plain; charset=utf-8", "application/vnd.a+json"] {
            assert_eq!(MediaType::try_from(good.to_owned()).unwrap().as_str(), good);
        }
        for bad in
            ["", "text", "/", "text/", "/plain", "a/b/c", "text/plain\r\nX: y", "text/pläin", "a/b ", "a b/c"]
        {
            let refusal = MediaType::try_from(bad.to_owned());
            assert_eq!(refusal, Err(MalformedLabel::MediaType), "{bad:?}");
        }
        assert!(MediaType::try_from(format!("a/{}", "b".repeat(125))).is_ok());
        assert!(MediaType::try_from(format!("a/{}", "b".repeat(126))).is_err());
    }

    #[test]
    fn a_name_is_printable_and_short() {
        for bad in ["", "a\nb", "a\0", &"n".repeat(256)] {
            assert_eq!(Name::try_from(bad.to_owned()), Err(MalformedLabel::Name), "{bad:?}");
        }
        assert_eq!(Name::try_from("../é plan".to_owned()).unwrap().as_str(), "../é plan");
        assert!(Name::try_from("n".repeat(255)).is_ok());
    }

    #[test]
    fn the_latest_jobs_are_remembered_and_the_time_never_goes_back() {
        let put = |job: u128, created| NewArtifact {
            kind: Kind::Logs,
            content: b"x",
            created: WallMillis(created),
            labels: Labels { job: Some(JobId::from_u128(job)), ..Labels::default() },
            flush: Flush::Now,
        };
        let mut meta = Meta::of(ArtifactId::of(b"x"), &put(0, 50));
        meta = meta.again(&put(0, 7));
        assert_eq!((meta.created, meta.jobs.len()), (WallMillis(50), 1));
        for job in 1..40 {
            meta = meta.again(&put(job, 60));
        }
        assert_eq!((meta.created, meta.jobs.len()), (WallMillis(60), JOBS_MAX));
        assert_eq!(meta.jobs.last(), Some(&JobId::from_u128(39)));
        assert_eq!(meta.jobs.first(), Some(&JobId::from_u128(8)));
    }
}
