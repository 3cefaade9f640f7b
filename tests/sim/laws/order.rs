//! Who is saved up for is not passed by those who make it later.

use std::time::Duration;

use proptest::prelude::*;
use sluicegate::units::Class;

use super::book::{Book, Debit, Left, Stay};
use super::credit;
use super::reckon::Log;
use super::world::World;

/// On a lane where one is certainly the first, nobody else goes who makes that one later.
pub(crate) fn nobody_passes_the_head_and_makes_it_later(
    world: &World,
    book: &Book,
) -> Result<(), TestCaseError> {
    // Where it could go elsewhere it may be saved up for there; and who waits for a slot is not made later
    // by a quota.
    let is_alone = world.accounts.len() == 1 && world.accounts[0].slots.is_none();
    if !is_alone || !world.is_foreseeable() {
        return Ok(());
    }
    // Those who were granted at the same moment, before.
    let mut gone: Vec<usize> = Vec::new();
    for debit in &book.debits {
        let (lane, at, class) = (debit.lane, debit.at, book.class(debit.job));
        // Whoever came at this very moment may have come before or after it, and so for who left.
        gone.retain(|job| book.stays.iter().any(|stay| is_granted_at(stay, *job, at)));
        gone.push(debit.job);
        let others = |stay: &Stay| {
            let left = stay.left.as_ref().is_some_and(|(left, _)| *left == at);
            (stay.came == at || left) && !gone.contains(&stay.job)
        };
        if book.stays.iter().any(others) {
            continue;
        }
        let Some(head) = certain_head(book, at) else { continue };
        let head_class = book.class(head);
        let behind = class < head_class
            || (class == head_class && book.job(head).app == book.job(debit.job).app);
        let by_credit =
            class < head_class && credit(book, lane, class, at) >= book.share(lane, debit.job).0;
        // Who comes back when it was told to is the first of its class.
        let returns = book.order(debit.job) != book.last_stay(debit.job);
        if !behind
            || returns
            || book.order(head) >= book.order(debit.job) && class == head_class
            || by_credit
            || head_class == Class::Batch
        {
            continue;
        }
        // By what was known, by that without the answers of this very moment, which may have come after
        // it, and by what the provider may have told.
        let mode = world.mode;
        let earlier = at.saturating_sub(Duration::from_nanos(1));
        let known = [at, earlier].map(|heard| book.known_by(lane, mode, (at, heard)));
        let logs = known.into_iter().chain([book.told(lane, mode, at)]).collect::<Vec<_>>();
        let delays: Vec<Duration> =
            logs.iter().map(|log| delay(book, log, (debit, head))).collect();
        prop_assert!(
            delays.iter().any(|delay| *delay <= Duration::from_secs(1)),
            "{} passed {head} at {at:?}, which made it later by {delays:?}",
            debit.job
        );
    }
    Ok(())
}

fn is_granted_at(stay: &Stay, job: usize, at: Duration) -> bool {
    stay.job == job && stay.left == Some((at, Left::Granted))
}

/// Returns by how much a debit made later when `head` fits.
fn delay(book: &Book, log: &Log, (debit, head): (&Debit, usize)) -> Duration {
    let (lane, at, mode) = (debit.lane, debit.at, book.world().mode);
    let look = book.look(lane, mode, at);
    let need = book.job(head).need(mode.charging);
    let mut before = log.clone();
    let own = (at, book.job(debit.job).need(mode.charging));
    if let Some(own) = before.iter().rposition(|entry| *entry == own) {
        before.remove(own);
    }
    let fits = |log: &Log| book.fits_at(lane, (log, look), need).unwrap_or(Duration::MAX);
    fits(log).saturating_sub(fits(&before))
}

/// Returns who is the first of all for certain: all who wait in the most urgent class are of one app.
fn certain_head(book: &Book, at: Duration) -> Option<usize> {
    let waiting: Vec<usize> =
        book.waiting(at).map(|stay| stay.job).filter(|job| !book.lanes(*job).is_empty()).collect();
    let top = waiting.iter().map(|job| book.class(*job)).max()?;
    let mut of_top = waiting.into_iter().filter(|job| book.class(*job) == top);
    let first = of_top.clone().min_by_key(|job| book.order(*job))?;
    let app = book.job(first).app;
    let alone = book.keeps_order(app);
    (alone && of_top.all(|job| book.job(job).app == app)).then_some(first)
}
