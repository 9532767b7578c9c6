//! Signatures of models' digests, and the keys that the server trusts.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature as Ed25519, VerifyingKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::Digest;

/// The most keys that may be trusted.
pub const TRUSTED_KEYS_MAX: usize = 64;

/// A signature as a client gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// How it was made.
    pub kind: SignatureKind,
    /// What the key is called that made it.
    #[serde(default)]
    pub key_id: Option<String>,
    /// The signature. Of `ed25519` it is base64 of its 64 bytes, over the 32 bytes of the model's digest.
    pub value: String,
}

/// How a signature was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum SignatureKind {
    /// `ed25519`, which can be checked here.
    Ed25519,
    /// Anything else, which is kept and reported, and never counts.
    Other(String),
}

impl SignatureKind {
    /// The kind as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for SignatureKind {
    fn from(name: String) -> Self {
        if name == "ed25519" { Self::Ed25519 } else { Self::Other(name) }
    }
}

impl From<SignatureKind> for String {
    fn from(kind: SignatureKind) -> Self {
        kind.as_str().to_owned()
    }
}

/// What is held of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureCheck {
    /// A trusted key signed the model's digest.
    Valid,
    /// It claims a trusted key that did not make it, or is malformed.
    Invalid,
    /// Its kind or its key is not known here, or the model's digest is not known yet.
    Unchecked,
}

/// The public keys that the operator trusts to sign models.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys(BTreeMap<String, VerifyingKey>);

/// Why keys cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnusableKey {
    /// There are too many.
    #[error("there may be {TRUSTED_KEYS_MAX} trusted keys, not {0}")]
    TooMany(usize),
    /// Two have the same name.
    #[error("two trusted keys are called `{0}`")]
    Twice(String),
    /// It is no key.
    #[error("the trusted key `{0}` must be base64 of the 32 bytes of an ed25519 public key")]
    Malformed(String),
    /// Anybody can make signatures for it.
    #[error("the trusted key `{0}` is weak: one signature of it fits many texts")]
    Weak(String),
}

impl TrustedKeys {
    /// Trusts these keys, each given as its name and base64 of its 32 bytes.
    ///
    /// # Errors
    /// When there are too many, or one is unusable or there twice.
    pub fn new(keys: &[(String, String)]) -> Result<Self, UnusableKey> {
        if keys.len() > TRUSTED_KEYS_MAX {
            return Err(UnusableKey::TooMany(keys.len()));
        }
        let mut trusted = BTreeMap::new();
        for (name, text) in keys {
            let key = decode(text).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
            let key = key.ok_or_else(|| UnusableKey::Malformed(name.clone()))?;
            if key.is_weak() {
                return Err(UnusableKey::Weak(name.clone()));
            }
            if trusted.insert(name.clone(), key).is_some() {
                return Err(UnusableKey::Twice(name.clone()));
            }
        }
        Ok(Self(trusted))
    }

    /// Holds `signature` against the digest of its model and the trusted keys.
    //= ORCH-3414
    pub fn check(&self, signature: &Signature, digest: Option<&Digest>) -> SignatureCheck {
        let (SignatureKind::Ed25519, Some(digest)) = (&signature.kind, digest) else {
            return SignatureCheck::Unchecked;
        };
        let Some(bytes) = decode::<64>(&signature.value) else { return SignatureCheck::Invalid };
        let made = Ed25519::from_bytes(&bytes);
        let fits = |key: &VerifyingKey| key.verify_strict(digest.as_bytes(), &made).is_ok();
        match &signature.key_id {
            Some(name) => match self.0.get(name) {
                Some(key) if fits(key) => SignatureCheck::Valid,
                Some(_) => SignatureCheck::Invalid,
                None => SignatureCheck::Unchecked,
            },
            None if self.0.values().any(fits) => SignatureCheck::Valid,
            None => SignatureCheck::Unchecked,
        }
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Four characters stand for three bytes.
    (text.len() <= N.div_ceil(3) * 4).then(|| STANDARD.decode(text).ok()?.try_into().ok()).flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    /// A key that signs, and what is trusted of it.
    pub(crate) fn key(seed: u8) -> (SigningKey, String) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = STANDARD.encode(key.verifying_key().as_bytes());
        (key, public)
    }

    pub(crate) fn sign(key: &SigningKey, key_id: Option<&str>, digest: Digest) -> Signature {
        let value = STANDARD.encode(key.sign(digest.as_bytes()).to_bytes());
        Signature { kind: SignatureKind::Ed25519, key_id: key_id.map(str::to_owned), value }
    }

    const DIGEST: Digest = Digest::new([7; 32]);

    fn trusted() -> TrustedKeys {
        TrustedKeys::new(&[("ours".to_owned(), key(1).1), ("theirs".to_owned(), key(2).1)]).unwrap()
    }

    //= ORCH-3414 type=test
    #[test]
    fn only_a_trusted_key_that_signed_this_digest_makes_a_valid_signature() {
        let (ours, stranger) = (key(1).0, key(3).0);
        let other = Digest::new([8; 32]);
        for (signature, check) in [
            (sign(&ours, Some("ours"), DIGEST), SignatureCheck::Valid),
            (sign(&ours, None, DIGEST), SignatureCheck::Valid),
            (sign(&ours, Some("theirs"), DIGEST), SignatureCheck::Invalid),
            (sign(&stranger, Some("ours"), DIGEST), SignatureCheck::Invalid),
            (sign(&ours, Some("ours"), other), SignatureCheck::Invalid),
            (sign(&stranger, Some("stranger"), DIGEST), SignatureCheck::Unchecked),
            (sign(&stranger, None, DIGEST), SignatureCheck::Unchecked),
            (sign(&ours, None, other), SignatureCheck::Unchecked),
        ] {
            assert_eq!(trusted().check(&signature, Some(&DIGEST)), check, "{signature:?}");
            assert_eq!(trusted().check(&signature, None), SignatureCheck::Unchecked);
            assert_eq!(TrustedKeys::default().check(&signature, Some(&DIGEST)), SignatureCheck::Unchecked);
        }
    }

    //= ORCH-3414 type=test
    #[test]
    fn what_cannot_be_checked_never_counts() {
        let good = sign(&key(1).0, Some("ours"), DIGEST);
        let other = Signature { kind: "minisign".to_owned().into(), ..good.clone() };
        assert_eq!(trusted().check(&other, Some(&DIGEST)), SignatureCheck::Unchecked);
        for value in ["", "x", "AAAA", &good.value[..84], &format!("{}AAAA", good.value), &"A".repeat(88)] {
            let broken = Signature { value: value.to_owned(), ..good.clone() };
            assert_eq!(trusted().check(&broken, Some(&DIGEST)), SignatureCheck::Invalid, "{value}");
        }
    }

    #[test]
    fn a_signature_reads_back_from_json_with_the_kind_it_was_given() {
        for kind in ["ed25519", "sigstore-bundle"] {
            let json = format!(r#"{{"kind":"{kind}","key_id":null,"value":"x"}}"#);
            let signature: Signature = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&signature).unwrap(), json);
        }
    }

    #[test]
    fn unusable_keys_are_refused_by_name() {
        let keys = |text: &str| TrustedKeys::new(&[("k".to_owned(), text.to_owned())]).map(|_| ());
        let short = STANDARD.encode([1; 31]);
        // The neutral element of the curve, and a number that is no point of it.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut no_point = [0; 32];
        no_point[0] = 2;
        assert_eq!(keys("?"), Err(UnusableKey::Malformed("k".to_owned())));
        assert_eq!(keys(&short), Err(UnusableKey::Malformed("k".to_owned())));
        assert_eq!(keys(&STANDARD.encode(no_point)), Err(UnusableKey::Malformed("k".to_owned())));
        assert_eq!(keys(&STANDARD.encode(neutral)), Err(UnusableKey::Weak("k".to_owned())));
        let pair = ("k".to_owned(), key(1).1);
        let twice = TrustedKeys::new(&[pair.clone(), pair.clone()]).map(|_| ());
        assert_eq!(twice, Err(UnusableKey::Twice("k".to_owned())));
        assert_eq!(TrustedKeys::new(&vec![pair; 65]).map(|_| ()), Err(UnusableKey::TooMany(65)));
    }
}
