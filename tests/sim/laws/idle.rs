//! No lane is idle while somebody waits who could go.

use std::time::Duration;

use proptest::prelude::*;
use sluicegate::limit::{Charging, Counting};
use sluicegate::units::Class;

use super::book::Book;
use super::credit;
use super::reckon::{Log, Look, float};
use super::world::{Amount, Quota, WINDOW, World};

/// Slices and stretches may hold back so much, the way to the provider included: a twenty-fourth of
/// a window, and no more than a hundredth of it on the average.
const SLACK: Duration = Duration::from_millis(2_500);

/// Just before each event, and while nothing happens, nobody waits who fits every meter with some
/// slack and the headroom of its class, and whom no other one may hold up for whom is saved. Where output is
/// charged when it is known, this is said of who fits though all under way use their whole bounds at once;
/// where nobody says how the provider counts, of lanes that were not used for so long that any way of
/// counting has all of them free.
pub(crate) fn nothing_is_idle_while_somebody_could_go(
    world: &World,
    book: &Book,
) -> Result<(), TestCaseError> {
    for at in book.moments() {
        let at = at.saturating_sub(Duration::from_nanos(1));
        let waiting: Vec<usize> = book.waiting(at).map(|stay| stay.job).collect();
        for lane in 0..world.lane_count() {
            let here: Vec<usize> =
                waiting.iter().copied().filter(|job| book.lanes(*job).contains(&lane)).collect();
            if here.is_empty() || is_restrained(book, (lane, at)) {
                continue;
            }
            if !world.told.mode {
                let quiet = is_quiet(book, (lane, at));
                prop_assert!(!quiet, "{here:?} wait for {lane} at {at:?}, and all of it is free");
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

/// Tells whether nothing was under way through a lane for so long that all of it is free, however the
/// provider counts: what others seem to have used leaves a thirtieth of a window later.
fn is_quiet(book: &Book, (lane, at): (usize, Duration)) -> bool {
    let windows = book.world().quotas(lane).into_iter().map(|quota| quota.window);
    let longest = windows.max().unwrap_or_default();
    let since = at.checked_sub(longest + longest / 30 + SLACK);
    let is_over = |closed: Duration| since.is_some_and(|since| closed < since);
    let mut of_lane = book.debits.iter().filter(|debit| debit.lane == lane);
    of_lane.all(|debit| debit.at > at || debit.closed.is_some_and(|(closed, _)| is_over(closed)))
}

/// Tells whether little goes after the first of a window, for the time that a refusal takes, because the
/// day's limit may be hidden.
fn is_restrained(book: &Book, (lane, at): (usize, Duration)) -> bool {
    let world = book.world();
    let hides = world.told.levels && world.account(lane).daily.is_none();
    let begin = world.begin(at, WINDOW);
    let mut since = book.debits.iter().filter(|debit| debit.lane == lane && debit.at >= begin);
    let just_begun = since.next().is_some_and(|first| first.at + 2 * REFUSED >= at);
    world.mode.counting == Counting::Fixed && hides && just_begun
}

/// How long a refusal takes, as is believed before answers say how long they were on their way.
const REFUSED: Duration = Duration::from_millis(50);

/// A lane at one moment.
#[derive(Debug)]
struct View {
    lane: usize,
    at: Duration,
    seen: Seen,
    has_slot: bool,
    /// Nobody knows when the last slot is free again.
    has_another_slot: bool,
    /// What batch work may have to leave.
    spare: Amount,
}

/// A lane as it is seen here.
#[derive(Debug)]
struct Seen {
    look: Look,
    log: Log,
    /// What it is if all that is under way took as little as it can.
    hopeful: Log,
    /// What is left for certain of each quota.
    left: Vec<(Quota, f64)>,
}

impl Seen {
    fn of(book: &Book, (lane, at): (usize, Duration)) -> Self {
        let mode = book.world().mode;
        let (look, mut log) = (book.look(lane, mode, at), book.known(lane, mode, at));
        // What those under way are charged when it is known may be charged at once.
        let bounds = book.open(lane, at).map(|debit| book.job(debit.job).latest(mode.charging));
        let bounds = bounds.fold(Amount::default(), Amount::plus);
        log.extend(Some((at, bounds)).filter(|_| bounds != Amount::default()));
        let quotas = book.world().quotas(lane).into_iter();
        let left = quotas.map(|quota| (quota, book.level(&log, &quota, look.late(SLACK))));
        let left = left.collect();
        let mut hopeful = log.clone();
        for debit in book.open(lane, at).filter(|_| mode.charging == Charging::Refund) {
            let need = book.job(debit.job).need(mode.charging);
            let own = hopeful.iter().position(|entry| *entry == (debit.at, need));
            if let Some(own) = own.and_then(|own| hopeful.get_mut(own)) {
                own.1.tokens = book.job(debit.job).input;
            }
        }
        Self { look, log, hopeful, left }
    }

    /// Tells whether `need` is free in all quotas, and what is to be left of them: of batch work `spare`, and of windows with
    /// an end a tenth for those who have not come yet.
    fn fits(&self, need: &Amount, spare: Option<&Amount>) -> bool {
        let has_ends = self.look.mode.counting == Counting::Fixed;
        self.left.iter().all(|(quota, left)| {
            let unseen = if has_ends { quota.limit / 10 } else { 0 };
            let spare = spare.filter(|_| quota.spared);
            let spare = spare.map_or(0, |spare| (quota.of)(spare) + unseen);
            let wanted = ((quota.of)(need) + spare).min(quota.limit);
            (quota.of)(need) == 0 || float(wanted) <= *left
        })
    }

    /// Tells whether `first`, for whom the lane is saved up, would go later if `own` went now.
    fn delays(&self, book: &Book, lane: usize, (first, own): (Amount, Amount)) -> bool {
        // What is charged when it is known nobody knows when.
        if matches!(self.look.mode.charging, Charging::Later | Charging::Split) {
            return true;
        }
        let fits = |log: &Log| book.fits_at(lane, (log, self.look), first);
        let Some(before) = fits(&self.log) else { return true };
        // Who is due goes within the slack, and nobody judges finer than that; who waits for answers
        // only may have all that they give back.
        let hoped = fits(&self.hopeful).is_some_and(|hoped| hoped <= self.look.at + SLACK);
        if before <= self.look.at + SLACK || hoped {
            return true;
        }
        // What those under way give back nobody knows: anything between nothing and all that they can.
        let goes_later = |hopeful: &Log, log: &Log| {
            let mut log = log.clone();
            log.push((self.look.at, own));
            let after = fits(&log);
            after.is_none() || after > fits(hopeful)
        };
        goes_later(&self.hopeful, &self.log) || goes_later(&late(&self.hopeful), &late(&self.log))
    }
}

impl View {
    fn of(world: &World, book: &Book, (lane, at): (usize, Duration)) -> Self {
        let open = book.under_way(lane, at) as u64;
        let free = world.account(lane).slots.map_or(u64::MAX, |slots| slots.saturating_sub(open));
        Self {
            lane,
            at,
            seen: Seen::of(book, (lane, at)),
            has_slot: free > 0,
            has_another_slot: free > 1,
            spare: book.headroom(lane, at).0,
        }
    }

    fn fits(&self, book: &Book, job: usize) -> bool {
        let is_batch = book.class(job) == Class::Batch;
        let spare = Some(&self.spare).filter(|_| is_batch);
        self.has_slot && self.seen.fits(&need_of(book, job), spare)
    }

    /// Tells whether `other`, which does not fit, may hold up `job`, which would make it later.
    fn holds_up(&self, book: &Book, other: usize, job: usize) -> bool {
        if self.fits(book, other) {
            return false;
        }
        let (class, above) = (book.class(job), book.class(other));
        let covered = credit(book, self.lane, above, self.at) >= book.share(self.lane, other).0;
        if (above < class && !covered) || !self.may_be_first(book, other) {
            return false;
        }
        let delays =
            || self.seen.delays(book, self.lane, (need_of(book, other), need_of(book, job)));
        above == Class::Batch || !self.has_another_slot || delays()
    }

    /// Tells whether the lane may be saved up for `other`: for all of its app that are before it other
    /// lanes are, one for each; or it came back when it was told to, which makes it the first.
    fn may_be_first(&self, book: &Book, other: usize) -> bool {
        if book.has_come_back(other, self.at) {
            return true;
        }
        let app = book.job(other).app;
        let waiting = book.waiting(self.at).map(|stay| stay.job);
        let before: Vec<Vec<usize>> = waiting
            .filter(|own| book.job(*own).app == app && book.order(*own) < book.order(other))
            .map(|own| book.lanes(own))
            .filter(|lanes| lanes.contains(&self.lane))
            .collect();
        let mut elsewhere = before.concat();
        elsewhere.retain(|lane| *lane != self.lane);
        elsewhere.sort_unstable();
        elsewhere.dedup();
        let have_others = before.iter().all(|lanes| lanes.len() > 1);
        !book.keeps_order(app) || (have_others && before.len() <= elsewhere.len())
    }
}

fn need_of(book: &Book, job: usize) -> Amount {
    let (job, charging) = (book.job(job), book.world().mode.charging);
    job.need(charging).plus(job.latest(charging))
}

/// Returns a log in which everything came later by the slack, but for what came just now.
fn late(log: &Log) -> Log {
    let last = log.last().map_or(Duration::ZERO, |(when, _)| *when);
    log.iter().map(|(when, amount)| ((*when + SLACK).min(last), *amount)).collect()
}
