//! Books what earlier runs left beside the store, before anybody asks what was used.

use std::error::Error as _;
use std::path::Path;

use super::base::Base;
use super::clerk::MOST_AT_ONCE;
use super::fault::StoreError;
use super::job::Job;
use super::spill::Spill;
use super::store::Store;
use crate::config::Durability;

/// Books what lies beside `store` in `folder` and belongs to no instance that runs, and what those left open. What
/// cannot be booked now stays there, for the [`Clerk`](super::Clerk).
///
/// # Cancel safety
///
/// What was not booked when the future is dropped stays where it is.
pub async fn catch_up(store: &Store, folder: &Path, durability: Durability) {
    // No run has it: it leaves nothing open.
    let run = i64::from_ne_bytes(rand::random::<[u8; 8]>()) & i64::MAX;
    let place = folder.to_owned();
    let taken = tokio::task::spawn_blocking(move || Spill::take_left(&place, run)).await;
    let Ok(left) = taken else { return };
    let mut base = Base::new(store.clone(), durability);
    for spill in left {
        if let Err(error) = book(spill, store, &mut base).await {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%error, cause, "what was kept beside the store is not booked yet");
            break;
        }
    }
    base.close().await;
}

async fn book(mut spill: Spill, store: &Store, base: &mut Base) -> Result<(), StoreError> {
    let mut over = Vec::new();
    while spill.has_unread() {
        let reading = tokio::task::spawn_blocking(move || (spill.next(MOST_AT_ONCE), spill));
        let Ok((read, read_from)) = reading.await else { return Ok(()) };
        spill = read_from;
        let path = spill.path().to_owned();
        let failed = |source| StoreError::File { path, source };
        let (records, end) = match read {
            Ok(read) => read,
            Err(source) => return Err(failed(source)),
        };
        let job = Job::of(records);
        over.extend_from_slice(job.over());
        job.write_into(base).await?;
        spill.stored_to(end).map_err(failed)?;
    }
    store.end_runs(&over).await
}
