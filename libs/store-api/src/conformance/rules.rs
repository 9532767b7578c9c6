//! The rules one by one, each by its shortest story.

use std::sync::Arc;

use super::{Broken, StoreHarness, equal};
use crate::{
    Applied, Body, Change, Fence, JobKey, NewJob, OwnerId, Rank, RecordKey, Segment, Shelf, Store, WallMillis,
};

const ME: OwnerId = OwnerId(1);
const OTHER: OwnerId = OwnerId(2);

pub(super) async fn all(harness: &dyn StoreHarness) -> Result<(), Broken> {
    let told = |rule: &'static str| move |what: Broken| format!("{rule}: {what}");
    an_accept_is_answered_the_same_again(harness).await.map_err(told("accept"))?;
    a_later_owner_shuts_the_earlier_one_out(harness).await.map_err(told("fence"))?;
    a_job_ends_once(harness).await.map_err(told("end"))?;
    what_was_answered_survives_a_crash(harness).await.map_err(told("crash"))
}

fn text(text: &str) -> Body {
    Body::copy_from_slice(text.as_bytes())
}

fn accept(key: u128, owner: OwnerId, body: &str) -> Change {
    Change::Accept(NewJob { key: JobKey(key), owner, body: text(body) })
}

async fn one(store: &Arc<dyn Store>, change: Change, expected: Applied) -> Result<(), Broken> {
    let found = store.commit(std::slice::from_ref(&change)).await;
    equal(&format!("{change:?}"), &found, &Ok(vec![expected]))
}

async fn an_accept_is_answered_the_same_again(harness: &dyn StoreHarness) -> Result<(), Broken> {
    let store = harness.fresh().await;
    let first = Applied::Accepted { fence: Fence(1), rank: Rank(1) };
    one(&store, accept(7, ME, "a"), first).await?;
    one(&store, accept(7, ME, "a"), first).await?;
    one(&store, accept(7, ME, "b"), Applied::Known).await?;
    one(&store, accept(7, OTHER, "a"), Applied::Known).await?;
    one(&store, accept(8, ME, "a"), Applied::Accepted { fence: Fence(1), rank: Rank(2) }).await
}

async fn a_later_owner_shuts_the_earlier_one_out(harness: &dyn StoreHarness) -> Result<(), Broken> {
    let store = harness.fresh().await;
    store.commit(&[accept(1, ME, "a"), accept(2, ME, "b")]).await.map_err(|error| error.to_string())?;
    let claimed = store.claim(OTHER, 1).await.map_err(|error| error.to_string())?;
    let keys: Vec<_> = claimed.iter().map(|job| (job.key, job.fence)).collect();
    equal("the oldest is claimed", &keys, &vec![(JobKey(1), Fence(2))])?;
    let end = |fence| Change::End { job: JobKey(1), fence, at: WallMillis(5), body: text("x") };
    one(&store, end(Fence(1)), Applied::Stale).await?;
    one(&store, Change::Forget { job: JobKey(1), fence: Fence(1) }, Applied::Stale).await?;
    one(&store, end(Fence(2)), Applied::Done).await?;
    let again = store.claim(OTHER, 9).await.map_err(|error| error.to_string())?;
    equal("only what is left", &again.iter().map(|job| job.key).collect(), &vec![JobKey(2)])?;
    equal("nothing is left", &store.claim(OTHER, 9).await, &Ok(Vec::new()))
}

async fn a_job_ends_once(harness: &dyn StoreHarness) -> Result<(), Broken> {
    let store = harness.fresh().await;
    let (job, fence) = (JobKey(1), Fence(1));
    let end = |body| Change::End { job, fence, at: WallMillis(5), body: text(body) };
    let segment = |first_id| Segment { first_id, events: 2, frames: text("frames") };
    one(&store, end("early"), Applied::Stale).await?;
    one(&store, accept(1, ME, "a"), Applied::Accepted { fence, rank: Rank(1) }).await?;
    one(&store, Change::Append { job, fence, segment: segment(0) }, Applied::Done).await?;
    one(&store, Change::Append { job, fence, segment: segment(0) }, Applied::Done).await?;
    one(&store, Change::Note { job, fence, note: text("n"), ids_reserved: 9 }, Applied::Done).await?;
    one(&store, end("first"), Applied::Done).await?;
    one(&store, end("first"), Applied::Done).await?;
    one(&store, end("second"), Applied::Stale).await?;
    one(&store, Change::Append { job, fence, segment: segment(2) }, Applied::Stale).await?;
    one(&store, accept(1, ME, "a"), Applied::Known).await?;
    let ended = store.ended(None, 9).await.map_err(|error| error.to_string())?;
    let seen: Vec<_> = ended.iter().map(|it| (it.key, it.ended, it.body.clone(), it.ids_reserved)).collect();
    equal("as it ended", &seen, &vec![(job, Some(WallMillis(5)), text("first"), 9)])?;
    equal("its stream", &store.stream(job).await, &Ok(vec![segment(0)]))?;
    one(&store, Change::Forget { job, fence }, Applied::Done).await?;
    equal("forgotten", &store.ended(None, 9).await, &Ok(Vec::new()))?;
    equal("its stream too", &store.stream(job).await, &Ok(Vec::new()))
}

async fn what_was_answered_survives_a_crash(harness: &dyn StoreHarness) -> Result<(), Broken> {
    let store = harness.fresh().await;
    let session = RecordKey { shelf: Shelf::Sessions, name: "s".into() };
    let session = Change::Put { record: session, body: text("s") };
    store.commit(&[accept(1, ME, "a"), session]).await.map_err(|error| error.to_string())?;
    let store = harness.after_a_crash(store).await;
    let sessions = store.records(Shelf::Sessions).await.map_err(|error| error.to_string())?;
    equal("sessions", &sessions.len(), &1)?;
    let claimed = store.claim(OTHER, 9).await.map_err(|error| error.to_string())?;
    equal("the job", &claimed.iter().map(|job| job.body.clone()).collect(), &vec![text("a")])
}
