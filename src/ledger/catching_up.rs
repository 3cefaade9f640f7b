//! Books what earlier runs left beside the store, before anybody asks what was used.

use std::error::Error as _;
use std::path::Path;

use super::base::{Base, Sum};
use super::clerk::MOST_AT_ONCE;
use super::fault::StoreError;
use super::job::Job;
use super::spill::Spill;
use super::store::Store;
use crate::config::Durability;

/// Books what lies beside `store` in `folder` and belongs to no instance that runs, and what those left open; tells the
/// log what that was. What cannot be booked now stays there, for the [`Clerk`](super::Clerk). Returns how many bytes could not be
/// read, which are noted in the books.
///
/// # Cancel safety
///
/// What was not booked when the future is dropped stays where it is.
pub async fn catch_up(store: &Store, folder: &Path, durability: Durability) -> u64 {
    // No run has it: it leaves nothing open.
    let run = i64::from_ne_bytes(rand::random::<[u8; 8]>()) & i64::MAX;
    let place = folder.to_owned();
    let taken = tokio::task::spawn_blocking(move || Spill::take_left(&place, run)).await;
    let Ok(left) = taken else { return 0 };
    let mut base = Base::new(store.clone(), durability);
    let mut caught = Caught::default();
    for spill in left {
        if let Err(error) = book(spill, store, &mut base, &mut caught).await {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%error, cause, "what was kept beside the store is not booked yet");
            break;
        }
    }
    base.close().await;
    let Caught { booked, lost, damaged } = caught;
    if booked.entries + lost.entries > 0 {
        tracing::info!(
            entries = booked.entries,
            tokens = booked.tokens,
            lost = lost.entries,
            lost_tokens = lost.tokens,
            "what an earlier run left is booked"
        );
    }
    damaged
}

/// What was booked of what earlier runs left.
#[derive(Debug, Default)]
struct Caught {
    booked: Sum,
    lost: Sum,
    damaged: u64,
}

async fn book(
    mut spill: Spill,
    store: &Store,
    base: &mut Base,
    caught: &mut Caught,
) -> Result<(), StoreError> {
    // Of what may have been stored long ago, what is deleted by now would count once more.
    let open = match spill.doubt {
        Some(_) => Some(store.open_runs().await?),
        None => None,
    };
    let mut over: Vec<i64> = spill.doubt.flatten().into_iter().collect();
    while spill.has_unread() {
        let reading = tokio::task::spawn_blocking(move || (spill.next(MOST_AT_ONCE), spill));
        let Ok((read, read_from)) = reading.await else { return Ok(()) };
        spill = read_from;
        let path = spill.path().to_owned();
        let failed = |source| StoreError::File { path, source };
        let mut read = match read {
            Ok(read) => read,
            Err(source) => return Err(failed(source)),
        };
        let (end, damaged) = (read.end, read.damaged);
        if let Some(open) = &open {
            read.records.retain(|record| record.run().is_some_and(|run| open.contains(&run)));
        }
        let mut job = Job::of(read);
        over.extend_from_slice(job.over());
        if !spill.has_unread() {
            job.end(spill.doubt.flatten());
        }
        let done = job.write_into(base).await?;
        caught.booked.add(done.booked);
        caught.lost.add(done.lost);
        caught.damaged += damaged;
        // Before its end nothing would tell any more that it is doubtful.
        if open.is_none() || !spill.has_unread() {
            spill.stored_to(end).map_err(failed)?;
        }
    }
    store.end_runs(&over).await
}
