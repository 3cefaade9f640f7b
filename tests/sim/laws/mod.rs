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
mod live;
mod order;
mod reckon;
pub(crate) mod world;

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use sluicegate::admit::Refusal;
use sluicegate::limit::{Charging, Counting};
use sluicegate::units::Class;

use self::book::{Book, Close, Left};
use self::live::{is_in_time, play};
use self::reckon::float;
use self::world::{Amount, World, worlds};

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
        keeps_every_law(&world, &book)?;
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

fn keeps_every_law(world: &World, book: &Book) -> Result<(), TestCaseError> {
    nobody_waits_for_ever(world, book)?;
    no_grant_exceeds_a_quota(world, book)?;
    everything_is_granted_refused_or_withdrawn_once(book)?;
    batch_work_leaves_a_headroom(world, book)?;
    order::nobody_passes_the_head_and_makes_it_later(world, book)?;
    idle::nothing_is_idle_while_somebody_could_go(world, book)
}

/// The bound that `line` states: whatever comes in above it, a class keeps a twentieth. Here all of its
/// class may go before, through the slowest lane; and with slots, as long as the answers take.
fn nobody_waits_for_ever(world: &World, book: &Book) -> Result<(), TestCaseError> {
    prop_assert!(book.ended.is_some(), "somebody waits for ever");
    let answers: Duration = world.jobs.iter().map(|job| job.takes + 2 * job.delay).sum();
    for stay in &book.stays {
        let Some((left, _)) = stay.left else { continue };
        let class = book.class(stay.job);
        let before = book.stays.iter().filter(|other| other.came <= left);
        let before = before.filter(|other| book.class(other.job) == class);
        let sum = before.fold(Amount::default(), |sum, other| {
            // Nobody needs more than this, whatever is charged.
            let job = book.job(other.job);
            let output = Amount { output: job.bound, ..Amount::default() };
            sum.plus(job.need(Charging::Refund)).plus(output)
        });
        let quotas = book.lanes(stay.job).into_iter().flat_map(|lane| world.quotas(lane));
        let bounds = quotas.map(|quota| {
            let windows = 20.0 * float((quota.of)(&sum)) / float(quota.limit) + 2.0;
            quota.window.mul_f64(windows)
        });
        let bound = bounds.max().unwrap_or_default() + answers;
        let waited = left - stay.came;
        prop_assert!(waited <= bound, "{} waited {waited:?}, and not {bound:?}", stay.job);
    }
    Ok(())
}

const ONE_REQUEST: Amount = Amount { requests: 1, tokens: 0, output: 0 };

/// What gets to the provider finds room there, but for output that ended there and was not heard of
/// here. Where nobody says how the provider counts and
/// charges, what is still taken for possible may differ from the truth by a request.
fn no_grant_exceeds_a_quota(world: &World, book: &Book) -> Result<(), TestCaseError> {
    let needs = world.jobs.iter().filter(|_| !world.told.mode);
    let unsure = needs.map(|job| job.input + job.bound).max().unwrap_or(0);
    for debit in &book.debits {
        let (lane, granted) = (debit.lane, debit.at);
        let open = book.under_way(lane, granted);
        let slots = world.account(lane).slots.unwrap_or(u64::MAX);
        prop_assert!(open as u64 <= slots, "{open} under way at {granted:?}, slots: {slots}");
        let Some((at, _)) = debit.arrived else { continue };
        let unheard = book.debits.iter().filter(|other| {
            let ended = other.ended.is_some_and(|ended| ended <= at);
            let unknown = match other.closed {
                Some((_, Close::Kept)) | None => true,
                Some((closed, _)) => closed >= granted,
            };
            other.lane == lane && ended && unknown
        });
        let unheard = unheard.fold(Amount::default(), |sum, other| {
            sum.plus(book.job(other.job).late(world.mode.charging))
        });
        let log = book.provider(lane, at);
        for quota in world.quotas(lane) {
            let left = book.level(&log, &quota, book.provider_look(at));
            let unsure = if (quota.of)(&ONE_REQUEST) > 0 { unsure.min(1) } else { unsure };
            let most = float((quota.of)(&unheard) + unsure);
            prop_assert!(left + most > -1e-6, "{left} of {quota:?} left of lane {lane} at {at:?}");
        }
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
    // What a request takes of slots is only known when it is over.
    let mut taken = vec![0.0; world.lane_count()];
    for debit in batch.filter(|_| world.told.mode) {
        let (lane, at, mode) = (debit.lane, debit.at, world.mode);
        // Of several at one moment any may have been the first.
        let (most, _) = book.headroom(lane, at);
        let (_, least) = book.headroom(lane, at.saturating_sub(Duration::from_nanos(1)));
        let (need, look) = (book.job(debit.job).need(mode.charging), book.look(lane, mode, at));
        let mut before = book.told(lane, mode, at);
        before.retain(|(when, _)| *when < at);
        for quota in world.quotas(lane).into_iter().filter(|quota| quota.spared) {
            let (need, most, least) = ((quota.of)(&need), (quota.of)(&most), (quota.of)(&least));
            // It binds nobody who could never leave it, and it shrinks towards the end of a window.
            let ends = mode.counting == Counting::Fixed
                && world.begin(at + quota.window / 10, quota.window)
                    > world.begin(at, quota.window);
            if least == 0 || need + most > quota.limit || ends {
                continue;
            }
            let left = book.level(&before, &quota, look);
            let refilled = float(quota.limit) * NEAR.as_secs_f64() / quota.window.as_secs_f64();
            if left + refilled >= float(need + least) || world.account(lane).slots.is_some() {
                continue;
            }
            taken[lane] += book.share(lane, debit.job).0;
            let kept = credit(book, lane, Class::Batch, at);
            prop_assert!(
                taken[lane] <= kept + 1e-6,
                "{} left {left} at {at:?}, and not {least} of {quota:?}",
                debit.job
            );
            break;
        }
    }
    Ok(())
}

/// Returns the most that a class may have kept of what passed it on a lane, in windows.
fn credit(book: &Book, lane: usize, class: Class, at: Duration) -> f64 {
    let above = book.debits.iter().filter(|debit| debit.lane == lane && debit.at <= at);
    let above = above.filter(|debit| book.class(debit.job) > class);
    KEPT_PART * above.map(|debit| book.share(lane, debit.job).1).sum::<f64>() * 1.001
}

/// The part that a lower class keeps of what passes it.
const KEPT_PART: f64 = 0.05;
