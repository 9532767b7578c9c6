//! Models of the catalog as their clients see them.

use api_types::{
    ModelHeader, ModelSbom, ModelSignature, ModelState as WireState, ModelView, VerificationView,
    VerifyOutcome, VerifyView, VerifyingState, VerifyingView, VramView,
};
use catalog_core::{
    KvType, Model, ModelFormat, ModelMeta, ModelState, Outcome, Sbom, Signature, SignatureCheck, Verification,
};

use crate::services::{Shown, Step};

pub(crate) fn model(Shown { model, verifying }: &Shown) -> ModelView {
    let declared = &model.declared;
    let (state, deadline_ms) = match model.state {
        ModelState::Active => (WireState::Active, None),
        ModelState::Retired { deadline_ms } => (WireState::Retired, deadline_ms),
    };
    let checks = model.signature_checks.iter().copied();
    ModelView {
        id: declared.id.to_string(),
        model_ref: declared.source.to_string(),
        engine_model: declared.source.name().to_string(),
        state,
        deadline_ms,
        digest: model.digest().map(|digest| digest.to_string()),
        signatures: declared.signatures.iter().zip(checks).map(signature).collect(),
        sbom: declared.sbom.as_ref().map(sbom),
        ctx_max: model.ctx_max(),
        labels: declared.labels.clone(),
        size_bytes: model.size_bytes,
        header: model.meta.as_ref().map(header),
        vram: vram(model),
        verification: model.verification.as_ref().map(made),
        verifying: verifying.map(progress),
    }
}

fn signature((given, check): (&Signature, SignatureCheck)) -> ModelSignature {
    let check = match check {
        SignatureCheck::Valid => "valid",
        SignatureCheck::Invalid => "invalid",
        SignatureCheck::Unchecked => "unchecked",
    };
    ModelSignature {
        kind: given.kind.as_str().to_owned(),
        key_id: given.key_id.clone(),
        value: given.value.clone(),
        check: Some(check.to_owned()),
    }
}

fn sbom(sbom: &Sbom) -> ModelSbom {
    let digest = sbom.digest.map(|digest| digest.to_string());
    ModelSbom { format: sbom.format.clone(), digest, uri: sbom.uri.clone() }
}

fn header(meta: &ModelMeta) -> ModelHeader {
    ModelHeader {
        format: match meta.format {
            ModelFormat::Gguf => "gguf".to_owned(),
            ModelFormat::Safetensors => "safetensors".to_owned(),
        },
        architecture: meta.architecture.clone(),
        parameters: meta.parameters,
        quantization: meta.quantization.first().map(|share| share.type_name.clone()),
        layers: meta.layers,
        ctx_max: meta.ctx_max,
    }
}

//= ORCH-3415
fn vram(model: &Model) -> Option<VramView> {
    let ctx = model.ctx_max()?;
    let need = model.vram_need(ctx, KvType::default())?.ok()?;
    Some(VramView {
        weights_bytes: need.weights,
        kv_bytes: need.kv_cache,
        overhead_bytes: need.overhead,
        total_bytes: need.total(),
        ctx,
    })
}

fn made(made: &Verification) -> VerificationView {
    let (outcome, reason, message) = outcome(&made.outcome);
    let digest = made.digest.map(|digest| digest.to_string());
    VerificationView { outcome, reason, message, digest, at_ms: made.at_ms }
}

fn outcome(outcome: &Outcome) -> (VerifyOutcome, Option<String>, Option<String>) {
    match outcome {
        Outcome::Pass => (VerifyOutcome::Pass, None, None),
        Outcome::Warn(why) => (VerifyOutcome::Warn, Some(why.as_str().to_owned()), Some(why.to_string())),
        Outcome::Fail(why) => (VerifyOutcome::Fail, Some(why.as_str().to_owned()), Some(why.to_string())),
    }
}

fn progress(step: Step) -> VerifyingView {
    let (state, bytes_done, bytes_total) = match step {
        Step::Waiting => (VerifyingState::Waiting, 0, 0),
        Step::Fetching { done, total } => (VerifyingState::Fetching, done, total),
        Step::Running { done, total } => (VerifyingState::Running, done, total),
    };
    VerifyingView { state, bytes_done, bytes_total }
}

/// The outcome, or how far it is.
pub(crate) fn verification(Shown { model, verifying }: &Shown) -> VerifyView {
    let known = model.verification.as_ref().filter(|_| verifying.is_none());
    let (outcome, reason, message) =
        known.map_or((VerifyOutcome::Running, None, None), |made| outcome(&made.outcome));
    VerifyView { outcome, reason, message, progress: verifying.map(progress) }
}
