//! Where model files are: below the operator's folders, or fetched into one of our own.

use std::{
    fmt::Write,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use catalog_core::{
    AllowedHost, CannotOpen, Declared, Digest, FailReason, ModelFile, ModelSource, OutboundPolicy, Outcome,
    Remote, Roots, Verified, WarnReason, is_public_address,
};
use model_fetch::{Fetch, FetchError, Fetcher, Policy, Progress, Refused, Transport};
use tokio_util::sync::CancellationToken;

/// No model is larger, in bytes.
const MODEL_BYTES_MAX: u64 = 1 << 40;

/// The places.
#[derive(Default)]
pub(crate) struct Places {
    /// The operator's folders.
    pub(crate) roots: Roots,
    /// Our own, when there is one.
    pub(crate) fetched: Option<Fetched>,
    /// How files are fetched into it; `None` when nothing is fetched.
    pub(crate) fetching: Option<Fetching>,
}

/// The folder of fetched files, each of which is called by its digest.
pub(crate) struct Fetched {
    folder: PathBuf,
    root: Roots,
}

/// How files are fetched.
pub(crate) struct Fetching {
    pub(crate) fetcher: Fetcher,
    pub(crate) hosts: Vec<AllowedHost>,
}

impl Fetched {
    pub(crate) fn at(folder: PathBuf) -> Result<Self, catalog_core::UnusableRoot> {
        let root = Roots::new(std::slice::from_ref(&folder))?;
        Ok(Self { folder, root })
    }
}

impl Places {
    /// The file of a model, of which `digest` is known.
    pub(super) fn open(&self, declared: &Declared, digest: Option<Digest>) -> Result<ModelFile, CannotOpen> {
        if declared.source.source() == ModelSource::File {
            return self.roots.open(&declared.source);
        }
        let digest = digest.ok_or(CannotOpen::Missing)?;
        let fetched = self.fetched.as_ref().ok_or(CannotOpen::Missing)?;
        fetched.root.open_path(&fetched.folder.join(file_name(digest)))
    }

    /// Fetches a model's file, unless it is here. Tells its digest, or what is found instead of a file.
    //= ORCH-3417
    pub(super) async fn fetch(
        &self,
        declared: &Declared,
        expected: Option<Digest>,
        show: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Digest, Verified> {
        if let Some(digest) = expected.filter(|digest| self.open(declared, Some(*digest)).is_ok()) {
            return Ok(digest);
        }
        let (Some(fetched), Some(fetching)) = (&self.fetched, &self.fetching) else {
            return Err(lacks(&"outbound access is off"));
        };
        let outbound = OutboundPolicy::From(fetching.hosts.clone());
        let url = match outbound.check(&declared.source) {
            Ok(Remote::Https(url)) => url,
            Ok(Remote::Oci { .. }) => return Err(lacks(&"models of OCI registries are not fetched")),
            Err(refused) => return Err(lacks(&refused)),
        };
        let redirect_hosts: Vec<_> = fetching.hosts.iter().map(AllowedHost::name).collect();
        let policy = Policy {
            url: &|url| outbound.check_url(url.as_str()).map(drop).map_err(|why| Refused(why.to_string())),
            // An operator who lists an address wants it, wherever it is.
            address: &|address| {
                let listed = fetching.hosts.iter().filter_map(AllowedHost::address);
                is_public_address(address) || listed.into_iter().any(|listed| listed == address)
            },
            redirect_hosts: &redirect_hosts,
            transport: Transport::Tls,
        };
        let request = Fetch {
            url,
            folder: fetched.folder.clone(),
            expected: expected.map(|digest| model_fetch::Digest(*digest.as_bytes())),
            bytes_max: MODEL_BYTES_MAX,
        };
        let total = AtomicU64::new(0);
        let progress = |Progress { bytes, total: told }| {
            total.fetch_max(told.unwrap_or(bytes), Ordering::Relaxed);
            show(bytes, total.load(Ordering::Relaxed));
        };
        // Whoever gives this up drops it.
        let never = CancellationToken::new();
        let fetch = fetching.fetcher.fetch(&request, &policy, &progress, &never);
        match Box::pin(fetch).await {
            Ok(fetched) => Ok(Digest::new(fetched.digest.0)),
            Err(FetchError::DigestMismatch { expected, found }) => {
                let (expected, found) = (Digest::new(expected.0), Digest::new(found.0));
                let outcome = Outcome::Fail(FailReason::Mismatch { expected, found });
                Err(Verified { outcome, digest: Some(found), facts: None, meta: None })
            }
            Err(error) => Err(lacks(&error)),
        }
    }
}

/// Nothing is known of a file, for this reason.
fn lacks(why: &impl ToString) -> Verified {
    let reason = WarnReason::NotFetched { why: why.to_string() };
    Verified { outcome: Outcome::Warn(reason), digest: None, facts: None, meta: None }
}

/// What a fetched file is called.
fn file_name(digest: Digest) -> String {
    digest.as_bytes().iter().fold("sha256-".to_owned(), |mut name, byte| {
        // Writing to a string cannot fail.
        write!(name, "{byte:02x}").ok();
        name
    })
}
