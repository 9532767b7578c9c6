//! Which models may be placed.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    model::{Model, ModelState},
    outcome::{FailReason, Outcome, WarnReason},
    roots::FileFacts,
};

/// How much must be known of a model before it is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustPolicy {
    /// A digest, a verification that passed and is current, and a valid signature.
    Strict,
    /// Nothing, as long as nothing speaks against it.
    #[default]
    Permissive,
}

/// Why a model is not placed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Untrusted {
    /// It is out of use.
    #[error("the model is retired")]
    Retired,
    /// Its last verification found something against it.
    #[error("the model failed its verification: {0}")]
    Failed(FailReason),
    /// Nobody knows which digest its file should have.
    #[error("the model has no digest, which the strict policy asks for")]
    NoDigest,
    /// It was never verified with the digest that it has now.
    #[error("the model was not verified, which the strict policy asks for")]
    Unverified,
    /// Its last verification left something open.
    #[error("the model's verification did not pass: {0}")]
    Warned(WarnReason),
    /// Its file is not, or not known to be, the one that was verified.
    #[error("the model's file changed since it was verified")]
    Stale,
    /// No trusted key signed it.
    #[error("the model has no valid signature, which the strict policy asks for")]
    Unsigned,
}

/// Whether `model` may be placed, where `now` is its file as it is at this moment, if it has one.
///
/// A retired model and one that failed its verification are placed under no policy.
///
/// # Errors
/// Tells the first thing that is against it.
//= ORCH-3413
//= ORCH-3414
pub fn placeable(model: &Model, policy: TrustPolicy, now: Option<FileFacts>) -> Result<(), Untrusted> {
    if matches!(model.state, ModelState::Retired { .. }) {
        return Err(Untrusted::Retired);
    }
    if let Some(Outcome::Fail(reason)) = model.verification.as_ref().map(|made| &made.outcome) {
        return Err(Untrusted::Failed(reason.clone()));
    }
    match policy {
        TrustPolicy::Permissive => Ok(()),
        TrustPolicy::Strict => is_proven(model, now),
    }
}

fn is_proven(model: &Model, now: Option<FileFacts>) -> Result<(), Untrusted> {
    let digest = model.digest().ok_or(Untrusted::NoDigest)?;
    let made = model.verification.as_ref().ok_or(Untrusted::Unverified)?;
    if made.digest != Some(digest) {
        return Err(Untrusted::Unverified);
    }
    if !model.is_signed() {
        return Err(Untrusted::Unsigned);
    }
    match &made.outcome {
        // It was unsigned then; it was just found to be signed.
        Outcome::Pass | Outcome::Warn(WarnReason::Unsigned) => {}
        Outcome::Warn(reason) => return Err(Untrusted::Warned(reason.clone())),
        Outcome::Fail(reason) => return Err(Untrusted::Failed(reason.clone())),
    }
    if now.is_some_and(|now| made.is_current(now)) { Ok(()) } else { Err(Untrusted::Stale) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        digest::Digest,
        model::Declared,
        outcome::Verification,
        signature::{
            SignatureCheck,
            tests::{key, sign},
        },
    };

    const DIGEST: Digest = Digest::new([7; 32]);
    const NOW: FileFacts = FileFacts { size_bytes: 1, mtime_ns: 2, inode: 3, device: 4 };
    const POLICIES: [TrustPolicy; 2] = [TrustPolicy::Strict, TrustPolicy::Permissive];

    /// A model that the strict policy places.
    fn proven() -> Model {
        let mut declared = Declared::new("m".parse().unwrap(), "file:/m".parse().unwrap());
        declared.digest = Some(DIGEST);
        declared.signatures = vec![sign(&key(1).0, None, DIGEST)];
        let verification =
            Verification { outcome: Outcome::Pass, digest: Some(DIGEST), facts: Some(NOW), at_ms: 5 };
        let signature_checks = vec![SignatureCheck::Valid];
        Model { signature_checks, verification: Some(verification), ..Model::new(declared) }
    }

    fn with_outcome(outcome: Outcome) -> Model {
        let mut model = proven();
        model.verification.as_mut().unwrap().outcome = outcome;
        model
    }

    fn strict(model: &Model) -> Result<(), Untrusted> {
        placeable(model, TrustPolicy::Strict, Some(NOW))
    }

    //= ORCH-3413 type=test
    #[test]
    fn a_retired_or_failed_model_is_placed_under_no_policy() {
        let retired = Model { state: ModelState::Retired { deadline_ms: Some(1) }, ..proven() };
        let mismatch = FailReason::Mismatch { expected: DIGEST, found: Digest::new([8; 32]) };
        for policy in POLICIES {
            assert_eq!(placeable(&proven(), policy, Some(NOW)), Ok(()));
            assert_eq!(placeable(&retired, policy, Some(NOW)), Err(Untrusted::Retired));
            for reason in [mismatch.clone(), FailReason::Missing, FailReason::Truncated] {
                let failed = with_outcome(Outcome::Fail(reason.clone()));
                assert_eq!(placeable(&failed, policy, Some(NOW)), Err(Untrusted::Failed(reason.clone())));
                // A file that changed since is not thereby a better one.
                assert_eq!(placeable(&failed, policy, None), Err(Untrusted::Failed(reason)));
            }
        }
    }

    //= ORCH-3414 type=test
    #[test]
    fn the_strict_policy_asks_for_a_digest_a_current_pass_and_a_valid_signature() {
        assert_eq!(strict(&proven()), Ok(()));
        let mut model = proven();
        model.declared.digest = None;
        assert_eq!(strict(&model), Err(Untrusted::NoDigest));
        model.recorded_digest = Some(DIGEST);
        assert_eq!(strict(&model), Ok(()));
        model.recorded_digest = Some(Digest::new([8; 32]));
        assert_eq!(strict(&model), Err(Untrusted::Unverified));
        assert_eq!(strict(&Model { verification: None, ..proven() }), Err(Untrusted::Unverified));
        for check in [SignatureCheck::Invalid, SignatureCheck::Unchecked] {
            assert_eq!(
                strict(&Model { signature_checks: vec![check], ..proven() }),
                Err(Untrusted::Unsigned)
            );
        }
        let touched = FileFacts { mtime_ns: 3, ..NOW };
        assert_eq!(placeable(&proven(), TrustPolicy::Strict, Some(touched)), Err(Untrusted::Stale));
        assert_eq!(placeable(&proven(), TrustPolicy::Strict, None), Err(Untrusted::Stale));
        let unreadable = WarnReason::UnreadableHeader { why: "x".to_owned() };
        for reason in [WarnReason::NoDigest, unreadable] {
            let warned = with_outcome(Outcome::Warn(reason.clone()));
            assert_eq!(strict(&warned), Err(Untrusted::Warned(reason)));
        }
        assert_eq!(strict(&with_outcome(Outcome::Warn(WarnReason::Unsigned))), Ok(()));
    }

    //= ORCH-3414 type=test
    #[test]
    fn the_permissive_policy_places_whatever_nothing_speaks_against() {
        assert_eq!(TrustPolicy::default(), TrustPolicy::Permissive);
        let unknown = Model::new(Declared::new("m".parse().unwrap(), "m".parse().unwrap()));
        for model in [unknown, with_outcome(Outcome::Warn(WarnReason::NoDigest))] {
            assert_eq!(placeable(&model, TrustPolicy::Permissive, None), Ok(()));
        }
    }
}
