//! What is played: who stands in line, before what.

use std::time::Duration;

use sluicegate::limit::{Charging, Counting, Estimator, LaneSettings};
use sluicegate::simulate::RateHeaders;
use sluicegate::simulate::engine::{self, Key, LimitRule, Limits, Organisation, Rules};
use sluicegate::units::{Class, Party};

use crate::laws::world::WINDOW;
use crate::play::dice::Dice;

use super::HOLD;

pub(super) const SECOND: Duration = Duration::from_secs(1);
const TOKENS: u64 = 100_000;

/// What is special about a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: limits, counting and charging are configured; requests take up to a twentieth of a
    /// window, which is what the lane refills in 3 s of the hold.
    Usual,
    /// Windows have a fixed end.
    Fixed,
    /// Nothing is configured: what answers tell has to do.
    Unknown,
    /// Two accounts of different size.
    TwoAccounts,
    /// The limit of the day is the tighter one.
    Day,
    /// Apps of different weight.
    Weights,
    /// Apps of all classes.
    Classes,
    /// Requests take up to a tenth of a window.
    Large,
    /// Only so many requests may be under way at one time.
    Slots,
}

/// One case, drawn from its seed.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) seed: u64,
    pub(super) kind: Kind,
    /// What the lanes are told.
    pub(super) settings: Vec<LaneSettings>,
    /// What the provider grants.
    limits: Vec<Limits>,
    /// Whether its answers tell what is left.
    pub(super) shown: RateHeaders,
    pub(super) apps: u64,
    class: Class,
    /// What waits at the beginning, in windows.
    pub(super) backlog: f64,
    /// What comes in later, in windows per window.
    pub(super) load: f64,
    /// The largest request, in windows; the least is a third of it.
    pub(super) size: f64,
    /// Whether everybody comes back as told.
    pub(super) obedient: bool,
    /// When the one asks whose fate is followed.
    pub(super) asks: Duration,
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) input: u64,
    pub(super) bound: u64,
    pub(super) output: u64,
    /// How long the provider works on it.
    pub(super) takes: Duration,
}

impl Case {
    /// Draws a case in which one waits for `wait` after the hold, or about that.
    pub(super) fn draw(kind: Kind, (seed, dice): (u64, &mut Dice), wait: Duration) -> Self {
        let windows = [Counting::Bucket, Counting::Bucket, Counting::Sliding];
        let counting = if kind == Kind::Fixed { Counting::Fixed } else { pick(dice, &windows) };
        let chargings = [Charging::Refund, Charging::Refund, Charging::Max, Charging::Later];
        let charging = pick(dice, &chargings);
        let asks = dice.time(SECOND, 20 * SECOND);
        let stands = (wait + HOLD + asks).as_secs_f64() / WINDOW.as_secs_f64();
        let shares: &[f64] = if kind == Kind::TwoAccounts { &[0.7, 0.3] } else { &[1.0] };
        let settings: Vec<LaneSettings> =
            shares.iter().map(|share| lane(kind, (counting, charging), *share, dice)).collect();
        let limits = settings.iter().map(|lane| granted(lane, (counting, charging))).collect();
        let burst = match kind {
            Kind::Slots => 0.0,
            Kind::Day => 2.0,
            _ => 1.0,
        };
        Self {
            seed,
            kind,
            load: dice.between(0.1, 0.9),
            settings: if kind == Kind::Unknown { vec![LaneSettings::default()] } else { settings },
            limits,
            shown: if kind == Kind::Unknown || dice.part() < 0.5 {
                RateHeaders::Shown
            } else {
                RateHeaders::Hidden
            },
            apps: pick(dice, &[1, 2, 3, 4]),
            class: pick(dice, &Class::ALL),
            backlog: burst + stands,
            size: dice.between(0.01, if kind == Kind::Large { 0.10 } else { 0.05 }),
            obedient: dice.part() < 0.34,
            asks,
        }
    }

    /// Returns on whose behalf the request of this number is.
    pub(super) fn party(&self, number: u64) -> Party {
        let own = number % self.apps;
        let app = format!("app{own}");
        let (class, weight) = match (self.kind, own) {
            (Kind::Weights, 1) => (self.class, 50),
            (Kind::Weights, 2) => (self.class, 400),
            (Kind::Weights, _) => (self.class, 200),
            (Kind::Classes, 1) => (Class::Interactive, 100),
            (Kind::Classes, 2) => (Class::Batch, 100),
            _ => (self.class, 100),
        };
        Party { class, weight, ..Party::usual(app.as_str().into()) }
    }

    /// Draws a request.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    pub(super) fn request(&self, dice: &mut Dice) -> Size {
        let all = dice.between(self.size / 3.0, self.size) * float(TOKENS);
        let output = all * dice.between(0.1, 0.4);
        let bound = (output * dice.between(1.0, 2.0)) as u64;
        let takes = dice.time(SECOND / 5, 4 * SECOND);
        Size { input: (all - output) as u64, bound, output: output as u64, takes }
    }

    /// Returns what a request takes of all that is granted in a window.
    pub(super) fn part_of(&self, size: Size) -> f64 {
        match self.kind {
            Kind::Slots => {
                let slots: u64 = self.limits.iter().filter_map(|limits| limits.concurrency).sum();
                (size.takes + 2 * super::WAY).as_secs_f64() / WINDOW.as_secs_f64() / float(slots)
            }
            Kind::Day => float(size.input + size.output) / (DAY_RATE * float(TOKENS)),
            _ => float(size.input + size.output) / float(TOKENS),
        }
    }

    /// Returns the rules of the provider.
    pub(super) fn rules(&self, seed: u64) -> Rules {
        let organisation = |(number, limits): (usize, &Limits)| Organisation {
            name: format!("org-{number}").into(),
            keys: vec![Key::valid(&format!("sk-{number}-0"))],
            rules: vec![LimitRule { models: "*".into(), shared: true, limits: limits.clone() }],
        };
        Rules {
            organisations: self.limits.iter().enumerate().map(organisation).collect(),
            seed,
            epoch: Duration::from_secs(1_790_000_000) + WINDOW.mul_f64(0.001 * float(seed % 1000)),
            ..Rules::default()
        }
    }
}

fn lane(
    kind: Kind,
    (counting, charging): (Counting, Charging),
    share: f64,
    dice: &mut Dice,
) -> LaneSettings {
    if kind == Kind::Slots {
        let concurrency = Some(pick(dice, &[1, 2, 4, 8]));
        return LaneSettings { concurrency, ..LaneSettings::default() };
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    let tokens = |part: f64| (part * share * float(TOKENS)) as u64;
    LaneSettings {
        requests_per_minute: Some(2_000),
        tokens_per_minute: Some(tokens(1.0)),
        tokens_per_day: (kind == Kind::Day).then(|| tokens(2.0 * DAY_RATE)),
        day: 2 * WINDOW,
        counting: Some(counting),
        charging: Some(charging),
        estimator: Some(Estimator::Tokens),
        ..LaneSettings::default()
    }
}

/// Returns what a provider grants that does as the lane is told.
fn granted(lane: &LaneSettings, (counting, charging): (Counting, Charging)) -> Limits {
    Limits {
        requests_per_minute: lane.requests_per_minute,
        tokens_per_minute: lane.tokens_per_minute,
        tokens_per_day: lane.tokens_per_day,
        concurrency: lane.concurrency,
        day: lane.day,
        counting: match counting {
            Counting::Bucket => engine::Counting::Bucket,
            Counting::Sliding => engine::Counting::Sliding,
            Counting::Fixed => engine::Counting::FirstRequest,
        },
        charging: match charging {
            Charging::Max => engine::Charging::Max,
            Charging::Refund => engine::Charging::Refund,
            Charging::Later => engine::Charging::Later,
            Charging::Split => engine::Charging::Split,
        },
        refund_at: engine::RefundAt::Debit,
        ..Limits::default()
    }
}

/// A day of two windows grants so much in each, in parts of the minute's limit.
const DAY_RATE: f64 = 0.6;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn pick<T: Copy>(dice: &mut Dice, from: &[T]) -> T {
    let index = (dice.part() * from.len() as f64) as usize;
    *from.get(index).or(from.first()).expect("something to pick from")
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn float(number: u64) -> f64 {
    number as f64
}
