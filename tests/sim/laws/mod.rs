//! The laws of line and limits together, held against random worlds by a naive reader.
//!
//! A world goes through [`Admission`](sluicegate::admit::Admission) on a paused clock; what happens is
//! written into a [`Book`]. The laws are judged from the book alone. `SLUICEGATE_LAW_CASES=5000` plays more
//! worlds than a usual run does, `SLUICEGATE_LAW_SEED=2` other ones.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod book;
mod fair;
mod idle;
pub(crate) mod world;

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use sluicegate::admit::Refusal;
use sluicegate::limit::Counting;
use sluicegate::units::Class;

use self::book::{Amount, Book, Debit, Left, Stay, float};
use self::world::{World, is_in_time, play, worlds};

/// So many worlds, always the same ones, unless the environment says otherwise.
fn cases(usual: u32) -> Config {
    let told = |name| std::env::var(name).ok().and_then(|number| number.parse::<u32>().ok());
    let cases = told("SLUICEGATE_LAW_CASES").unwrap_or(usual);
    let seed = told("SLUICEGATE_LAW_SEED").unwrap_or(1);
    let rng_seed = RngSeed::Fixed(seed.into());
    Config { cases, rng_seed, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    /// Every law, of the same worlds: most of the time goes into playing them.
    #[test]
    fn a_random_world_keeps_every_law(world in worlds(60)) {
        let book = play(&world);
        nobody_waits_for_ever(&book)?;
        no_grant_exceeds_a_quota(&world, &book)?;
        everything_is_granted_refused_or_withdrawn_once(&book)?;
        batch_work_leaves_a_headroom(&world, &book)?;
        nobody_passes_the_head_and_makes_it_later(&world, &book)?;
        idle::nothing_is_idle_while_somebody_could_go(&world, &book)?;
    }
}

proptest! {
    #![proptest_config(cases(40))]

    /// But for the jitter of what comes back after a failure, which is random on purpose.
    #[test]
    fn the_same_world_runs_the_same_way_again(mut world in worlds(60)) {
        for account in &mut world.accounts {
            account.key_dies = None;
        }
        prop_assert_eq!(play(&world), play(&world));
    }
}

fn nobody_waits_for_ever(book: &Book) -> Result<(), TestCaseError> {
    prop_assert!(book.ended.is_some(), "somebody waits for ever");
    Ok(())
}

fn no_grant_exceeds_a_quota(world: &World, book: &Book) -> Result<(), TestCaseError> {
    for debit in &book.debits {
        let account = world.account(debit.lane);
        let open = book.under_way(debit.lane, debit.at);
        let slots = account.slots.unwrap_or(u64::MAX);
        prop_assert!(open as u64 <= slots, "{open} under way at {:?}, slots: {slots}", debit.at);
        let Some((at, _)) = debit.arrived else { continue };
        let log = book.provider(debit.lane, at);
        let left =
            |of: fn(&Amount) -> u64, limit| book.level(&log, of, (limit, at), Duration::ZERO);
        let requests = left(|amount| amount.0, account.requests);
        let tokens = left(|amount| amount.1, account.tokens);
        prop_assert!(requests > -1e-6, "{requests} requests left of lane {} at {at:?}", debit.lane);
        prop_assert!(tokens > -1e-6, "{tokens} tokens left of lane {} at {at:?}", debit.lane);
    }
    Ok(())
}

fn everything_is_granted_refused_or_withdrawn_once(book: &Book) -> Result<(), TestCaseError> {
    // That nobody leaves twice is held by the book as it is written.
    for stay in &book.stays {
        let job = book.job(stay.job);
        let Some((left, how)) = &stay.left else {
            prop_assert!(false, "{} neither left nor stayed", stay.job);
            continue;
        };
        match how {
            Left::Granted => {}
            Left::HungUp => prop_assert!(is_near(*left - stay.came, job.hangs_up)),
            Left::Refused(Refusal::TooLarge { .. }) => {
                prop_assert!(book.lanes(stay.job).is_empty(), "{} is not too large", stay.job);
            }
            Left::Refused(refusal) => {
                prop_assert!(is_in_time(refusal), "{}: {refusal}", stay.job);
                prop_assert!(is_near(*left - stay.came, job.held), "{} too early", stay.job);
            }
        }
    }
    let grants = book.stays.iter().filter(|stay| matches!(stay.left, Some((_, Left::Granted))));
    prop_assert_eq!(grants.count(), book.debits.len());
    prop_assert_eq!(book.ended, Some((0, 0)), "somebody waits, or a debit is open, at the end");
    Ok(())
}

fn is_near(stayed: Duration, wanted: Option<Duration>) -> bool {
    wanted.is_some_and(|wanted| stayed + NEAR >= wanted && wanted + NEAR >= stayed)
}

/// Timers go off on whole milliseconds.
const NEAR: Duration = Duration::from_millis(2);

/// Batch work leaves at least the largest request of people at a prompt, but for the small part that it
/// keeps of what goes before it.
fn batch_work_leaves_a_headroom(world: &World, book: &Book) -> Result<(), TestCaseError> {
    let batch = book.debits.iter().filter(|debit| book.class(debit.job) == Class::Batch);
    let mut taken = vec![0.0; book.debits.iter().map(|debit| debit.lane + 1).max().unwrap_or(0)];
    for debit in batch {
        let (lane, at) = (debit.lane, debit.at);
        // Of several at one moment any may have been the first.
        let (most, _) = book.headroom(lane, at);
        let (_, least) = book.headroom(lane, at.saturating_sub(Duration::from_nanos(1)));
        // It binds nobody who could never leave it.
        let (need, account) = (book.need(debit.job), world.account(lane));
        let binds = |need: u64, most: u64, limit: u64| need + most <= limit;
        let requests = if binds(need.0, most.0, account.requests) { least.0 } else { 0 };
        let tokens = if binds(need.1, most.1, account.tokens) { least.1 } else { 0 };
        let (need, spare) = ((need.0 + requests, need.1 + tokens), (requests, tokens));
        let mut before = book.told(lane, at);
        before.retain(|(when, _)| *when < at);
        let fits = book.fits_at(lane, &before, (need, at));
        if fits <= at + NEAR || account.slots.is_some() {
            continue; // What a request takes of slots is only known when it is over.
        }
        taken[lane] += book.share(lane, debit.job).0;
        let higher = book.debits.iter().filter(|other| {
            other.lane == lane && other.at <= at && book.class(other.job) > Class::Batch
        });
        let kept = 0.05 * higher.map(|other| book.share(lane, other.job).1).sum::<f64>();
        let job = debit.job;
        prop_assert!(taken[lane] <= kept + 1e-6, "{job} took the headroom {spare:?} at {at:?}");
    }
    Ok(())
}

/// On a lane where one is certainly the first, nobody else goes who makes that one later.
fn nobody_passes_the_head_and_makes_it_later(
    world: &World,
    book: &Book,
) -> Result<(), TestCaseError> {
    // Where it could go elsewhere it may be saved up for there, and in a window its time depends on how
    // debits are put together; in a bucket whatever goes makes it later.
    let is_alone = world.accounts.len() == 1 && world.accounts[0].slots.is_none();
    if !is_alone || world.counting != Counting::Bucket {
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
        if !behind
            || book.order(head) >= book.order(debit.job) && class == head_class
            || by_credit
            || head_class == Class::Batch
        {
            continue;
        }
        // By what was known, and by what the provider may have told.
        let logs = [book.known(lane, at), book.told(lane, at)];
        let delays = logs.map(|log| delay(book, &log, (debit, head)));
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
fn delay(book: &Book, log: &[(Duration, Amount)], (debit, head): (&Debit, usize)) -> Duration {
    let (own, need) = ((debit.at, book.need(debit.job)), book.need(head));
    let mut before = log.to_vec();
    if let Some(own) = before.iter().rposition(|entry| *entry == own) {
        before.remove(own);
    }
    let fits = |log: &[_]| book.fits_at(debit.lane, log, (need, debit.at));
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

/// Returns the most that a class may have kept of what passed it on a lane, in windows.
fn credit(book: &Book, lane: usize, class: Class, at: Duration) -> f64 {
    let above = book.debits.iter().filter(|debit| debit.lane == lane && debit.at <= at);
    let above = above.filter(|debit| book.class(debit.job) > class);
    KEPT_PART * above.map(|debit| book.share(lane, debit.job).1).sum::<f64>() * 1.001
}

/// The part that a lower class keeps of what passes it.
const KEPT_PART: f64 = 0.05;
