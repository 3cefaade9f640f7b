//! No lane is idle while somebody waits who could go.

use std::time::Duration;

use proptest::prelude::*;
use sluicegate::units::Class;

use super::book::{Amount, Book};
use super::world::World;
use super::{credit, float};

/// Slices and stretches may hold back so much, the way to the provider included: a twenty-fourth of
/// a window, and no more than a hundredth of it on the average.
const SLACK: Duration = Duration::from_millis(2_500);

/// Just before each event, and while nothing happens, nobody waits who fits every meter with some
/// slack and the headroom of its class, and whom no other one may hold up for whom is saved.
pub(crate) fn nothing_is_idle_while_somebody_could_go(
    world: &World,
    book: &Book,
) -> Result<(), TestCaseError> {
    for at in book.moments() {
        let at = at.saturating_sub(Duration::from_nanos(1));
        let waiting: Vec<usize> = book.waiting(at).map(|stay| stay.job).collect();
        if waiting.is_empty() {
            continue;
        }
        for lane in 0..=2 * world.accounts.len() - 2 {
            let here: Vec<usize> =
                waiting.iter().copied().filter(|job| book.lanes(*job).contains(&lane)).collect();
            if here.is_empty() {
                continue;
            }
            let view = View::of(world, book, (lane, at));
            for job in &here {
                let fits = view.fits(book, *job);
                let idle = fits && !here.iter().any(|other| view.holds_up(book, *other, *job));
                prop_assert!(
                    !idle,
                    "{job} of {here:?} could go through {lane} at {at:?}: {view:?}"
                );
            }
        }
    }
    Ok(())
}

/// A lane at one moment.
#[derive(Debug)]
struct View {
    lane: usize,
    at: Duration,
    log: Vec<(Duration, Amount)>,
    /// What is left for certain, in requests and tokens.
    left: (f64, f64),
    has_slot: bool,
    /// Nobody knows when the last slot is free again.
    has_another_slot: bool,
    spare: Amount,
}

impl View {
    fn of(world: &World, book: &Book, (lane, at): (usize, Duration)) -> Self {
        let account = world.account(lane);
        let log = book.known(lane, at);
        let left = |of: fn(&Amount) -> u64, limit| book.level(&log, of, (limit, at), SLACK);
        let left = (left(|a| a.0, account.requests), left(|a| a.1, account.tokens));
        let open = book.under_way(lane, at) as u64;
        let free = account.slots.map_or(u64::MAX, |slots| slots.saturating_sub(open));
        let (has_slot, has_another_slot) = (free > 0, free > 1);
        Self { lane, at, left, has_slot, has_another_slot, spare: book.headroom(lane, at).0, log }
    }

    fn need(&self, book: &Book, job: usize) -> Amount {
        let need = book.need(job);
        if book.class(job) == Class::Batch {
            book.with_headroom(self.lane, need, self.spare)
        } else {
            need
        }
    }

    fn fits(&self, book: &Book, job: usize) -> bool {
        let need = self.need(book, job);
        self.has_slot && float(need.0) <= self.left.0 && float(need.1) <= self.left.1
    }

    /// Tells whether `other`, which does not fit, may hold up `job`, which would make it later.
    fn holds_up(&self, book: &Book, other: usize, job: usize) -> bool {
        if self.fits(book, other) {
            return false;
        }
        let (class, above) = (book.class(job), book.class(other));
        let covered = credit(book, self.lane, above, self.at) >= book.share(self.lane, other).0;
        let app = book.job(other).app;
        let mut own = book
            .waiting(self.at)
            .map(|stay| stay.job)
            .filter(|own| book.job(*own).app == app && book.lanes(*own).contains(&self.lane));
        let is_first =
            !book.keeps_order(app) || own.all(|own| book.order(own) >= book.order(other));
        if (above < class && !covered) || !is_first {
            return false;
        }
        let need = self.need(book, other);
        let before = book.fits_at(self.lane, &self.log, (need, self.at));
        let mut log = self.log.clone();
        log.push((self.at, book.need(job)));
        // Who is due goes within the slack, and nobody judges finer than that.
        let is_due = before <= self.at + SLACK;
        let later = book.fits_at(self.lane, &log, (need, self.at)) > before;
        let (log, before) =
            (late(&log), book.fits_at(self.lane, &late(&self.log), (need, self.at)));
        let perhaps_later = book.fits_at(self.lane, &log, (need, self.at)) > before;
        above == Class::Batch || !self.has_another_slot || is_due || later || perhaps_later
    }
}

/// Returns a log in which everything came later by the slack, but for what came just now.
fn late(log: &[(Duration, Amount)]) -> Vec<(Duration, Amount)> {
    let last = log.last().map_or(Duration::ZERO, |(when, _)| *when);
    log.iter().map(|(when, amount)| ((*when + SLACK).min(last), *amount)).collect()
}
