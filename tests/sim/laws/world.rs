//! Random worlds: what comes, what it is charged, and what becomes of it.

use std::time::Duration;

use proptest::prelude::*;
use sluicegate::limit::{Charging, Counting};
use sluicegate::units::{Class, Party};

pub(crate) use super::live::{account_with, ask, line, upstream_of, usage};

pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// A day is short here, so that its quotas bind.
pub(crate) const DAY: Duration = Duration::from_secs(600);

/// All that a run depends on.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) accounts: Vec<Account>,
    /// What the provider does.
    pub(crate) mode: Mode,
    /// When its first window with a fixed end begins.
    pub(crate) phase: Duration,
    pub(crate) told: Told,
    pub(crate) apps: Vec<Party>,
    pub(crate) jobs: Vec<Job>,
}

/// How a provider counts, and what it charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) counting: Counting,
    pub(crate) charging: Charging,
}

/// What there is to know of the provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// Whether answers tell what is left, and when it is full again.
    pub(crate) levels: bool,
    /// Whether the limits are configured; else the answers tell them.
    pub(crate) limits: bool,
    /// Whether it is configured how the provider counts and charges; else the levels tell.
    pub(crate) mode: bool,
}

/// An account: the first has one lane for all models, the others one for each.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) keys: usize,
    /// When its first key dies.
    pub(crate) key_dies: Option<Duration>,
    pub(crate) requests: u64,
    /// Tokens a minute; where input and output are apart, so many of each.
    pub(crate) tokens: u64,
    pub(crate) slots: Option<u64>,
    /// Requests and tokens of a day.
    pub(crate) daily: Option<(u64, u64)>,
}

/// A request, and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) arrives: Duration,
    pub(crate) app: usize,
    pub(crate) model: usize,
    pub(crate) input: u64,
    pub(crate) bound: u64,
    pub(crate) output: u64,
    /// One way to the provider and back.
    pub(crate) delay: Duration,
    pub(crate) takes: Duration,
    pub(crate) fate: Fate,
    /// How long until its client hangs up.
    pub(crate) hangs_up: Option<Duration>,
    /// How long it is held; who is refused then comes back once, as it was told.
    pub(crate) held: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// Given back at once: its client hung up when its turn came.
    Cancelled,
    /// Its answer never comes.
    Lost,
    Failed,
}

/// So many requests, tokens, and tokens of output where those have a quota of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
    pub(crate) output: u64,
}

/// One quota of a lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    pub(crate) limit: u64,
    pub(crate) window: Duration,
    /// What it counts.
    pub(crate) of: fn(&Amount) -> u64,
    /// Whether batch work leaves some of it.
    pub(crate) spared: bool,
}

impl World {
    /// Returns the lanes that a model may use, by number.
    pub(crate) fn lanes(&self, model: usize) -> Vec<usize> {
        (0..self.accounts.len()).map(|account| lane_number(account, model)).collect()
    }

    /// Returns how many lanes there are.
    pub(crate) fn lane_count(&self) -> usize {
        1 + (self.accounts.len() - 1) * MODELS
    }

    /// Returns the account of a lane.
    pub(crate) fn account(&self, lane: usize) -> &Account {
        &self.accounts[lane.div_ceil(MODELS)]
    }

    /// Returns the quotas of a lane.
    pub(crate) fn quotas(&self, lane: usize) -> Vec<Quota> {
        let account = self.account(lane);
        let apart = self.mode.charging == Charging::Split;
        let minute = |limit, of, spared| Quota { limit, window: WINDOW, of, spared };
        let mut quotas = vec![
            minute(account.requests, |amount| amount.requests, true),
            minute(account.tokens, |amount| amount.tokens, !apart),
        ];
        if apart {
            quotas.push(minute(account.tokens, |amount| amount.output, false));
        }
        if let Some((requests, tokens)) = account.daily {
            let day = |limit, of| Quota { limit, window: DAY, of, spared: false };
            quotas.push(day(requests, |amount| amount.requests));
            quotas.push(day(tokens, |amount| amount.tokens));
        }
        quotas
    }

    /// Tells whether a reader can tell when somebody fits: not where the ways of counting and charging are
    /// inferred, nor where the program expects outputs that it has not heard of.
    pub(crate) fn is_foreseeable(&self) -> bool {
        self.told.mode && matches!(self.mode.charging, Charging::Max | Charging::Refund)
    }

    /// Returns when the window with a fixed end began that holds `at`.
    pub(crate) fn begin(&self, at: Duration, window: Duration) -> Duration {
        (self.end(at, window)).saturating_sub(window)
    }

    /// Returns when the window with a fixed end ends that holds `at`.
    pub(crate) fn end(&self, at: Duration, window: Duration) -> Duration {
        let into = (at + window - self.phase).as_nanos() % window.as_nanos();
        at + window - Duration::from_nanos(u64::try_from(into).unwrap_or(0))
    }
}

impl Job {
    /// Returns what is debited when it is admitted.
    pub(crate) fn need(&self, charging: Charging) -> Amount {
        let tokens = match charging {
            Charging::Max => self.input.max(self.bound),
            Charging::Refund => self.input + self.bound,
            Charging::Later | Charging::Split => self.input,
        };
        Amount { requests: 1, tokens, output: 0 }
    }

    /// Returns what its output takes when it is known, where it is charged then.
    pub(crate) fn late(&self, charging: Charging) -> Amount {
        output_of(self.output, charging)
    }

    /// Returns the most that its output may take when it is known, where it is charged then.
    pub(crate) fn latest(&self, charging: Charging) -> Amount {
        output_of(self.bound, charging)
    }

    /// Returns what it is charged in the end.
    pub(crate) fn last(&self, charging: Charging) -> Amount {
        match charging {
            Charging::Refund => Amount { requests: 1, tokens: self.input + self.output, output: 0 },
            _ => self.need(charging).plus(self.late(charging)),
        }
    }
}

impl Amount {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            tokens: self.tokens + other.tokens,
            output: self.output + other.output,
        }
    }
}

fn output_of(output: u64, charging: Charging) -> Amount {
    match charging {
        Charging::Max | Charging::Refund => Amount::default(),
        Charging::Later => Amount { tokens: output, ..Amount::default() },
        Charging::Split => Amount { output, ..Amount::default() },
    }
}

pub(crate) fn lane_number(account: usize, model: usize) -> usize {
    if account == 0 { 0 } else { 1 + (account - 1) * MODELS + model }
}

pub(crate) const MODELS: usize = 2;

/// Worlds of up to so many requests.
pub(crate) fn worlds(most: usize) -> impl Strategy<Value = World> {
    let accounts = prop_oneof![
        2 => prop::collection::vec(account(), 1),
        1 => prop::collection::vec(account(), 2..4),
    ];
    let class = prop::sample::select(Class::ALL.to_vec());
    let apps = prop::collection::vec((class, 50..200_u32), 1..5);
    (accounts, mode(), told(), 0..60_000_u64, apps, jobs(most)).prop_map(
        |(accounts, mode, told, phase, apps, jobs)| {
            let world = World {
                accounts,
                mode,
                phase: Duration::from_millis(phase),
                told,
                apps: parties(apps),
                jobs,
            };
            consistent(world)
        },
    )
}

fn account() -> impl Strategy<Value = Account> {
    let slots = prop::option::weighted(0.2, 1..6_u64);
    let daily = prop::option::weighted(0.2, (15..60_u64, 1_500..6_000_u64));
    let dies = prop::option::weighted(0.3, 0..120_000_u64);
    (1..3_usize, dies, 5..40_u64, 600..3_000_u64, slots, daily).prop_map(
        |(keys, dies, requests, tokens, slots, daily)| {
            let key_dies = dies.filter(|_| keys > 1).map(Duration::from_millis);
            Account { keys, key_dies, requests, tokens, slots, daily }
        },
    )
}

fn mode() -> impl Strategy<Value = Mode> {
    let countings = vec![Counting::Bucket, Counting::Sliding, Counting::Fixed];
    let chargings = [Charging::Max, Charging::Refund, Charging::Refund];
    let chargings = chargings.into_iter().chain([Charging::Later, Charging::Split]);
    (prop::sample::select(countings), prop::sample::select(chargings.collect::<Vec<_>>()))
        .prop_map(|(counting, charging)| Mode { counting, charging })
}

fn told() -> impl Strategy<Value = Told> {
    (any::<bool>(), prop::bool::weighted(0.7), prop::bool::weighted(0.7))
        .prop_map(|(levels, limits, mode)| Told { levels, limits, mode })
}

fn parties(apps: Vec<(Class, u32)>) -> Vec<Party> {
    let party = |(n, (class, weight)): (usize, (Class, u32))| Party {
        class,
        weight,
        ..Party::usual(format!("app{n}").as_str().into())
    };
    apps.into_iter().enumerate().map(party).collect()
}

/// Takes out of a world what cannot be.
fn consistent(mut world: World) -> World {
    // Only levels tell how a provider counts; and input and output have headers of their own.
    world.told.mode |= !world.told.levels || world.mode.charging == Charging::Split;
    for account in &mut world.accounts {
        // What a day counts of input and output apart nobody has documented.
        account.daily = account.daily.filter(|_| world.mode.charging != Charging::Split);
    }
    let smallest = world.accounts.iter().map(|account| account.tokens).min().unwrap_or(0);
    let (mut now, apps) = (Duration::ZERO, world.apps.len());
    for job in &mut world.jobs {
        now += job.arrives;
        (job.arrives, job.app) = (now, job.app % apps);
        // A limit that only answers told may be tried by one request that exceeds it; and what exceeds
        // it depends on what is charged.
        if !world.told.limits || !world.told.mode {
            job.bound = job.bound.min(smallest - job.input);
            job.output = job.output.min(job.bound);
        }
    }
    world
}

/// Requests; each arrives so long after the one before.
fn jobs(most: usize) -> impl Strategy<Value = Vec<Job>> {
    let gap = prop_oneof![2 => Just(0), 4 => 0..300_u64, 4 => 0..4_000_u64, 1 => 0..60_000_u64];
    let takes = prop_oneof![0..500_u64, 0..5_000_u64, 0..70_000_u64];
    let fate = prop_oneof![
        12 => Just(Fate::Answered),
        1 => Just(Fate::Cancelled),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Failed),
    ];
    let patience = || prop::option::weighted(0.15, 0..40_000_u64);
    let size = prop_oneof![8 => (1..80_u64, 0..200_u64), 1 => (1..200_u64, 0..600_u64)];
    let times = (gap, takes, 0..40_u64);
    let who = (0..4_usize, 0..MODELS);
    let job = (times, who, size, 0..=100_u64, fate, (patience(), patience())).prop_map(
        |((gap, takes, delay), (app, model), (input, bound), percent, fate, patience)| Job {
            arrives: Duration::from_millis(gap),
            app,
            model,
            input,
            bound,
            output: bound * percent / 100,
            delay: Duration::from_millis(delay),
            takes: Duration::from_millis(takes),
            fate,
            hangs_up: patience.0.map(Duration::from_millis),
            held: patience.1.map(Duration::from_millis),
        },
    );
    prop::collection::vec(job, 1..most)
}
