//! The scenarios S1 to S18, as data.
//!
//! How much traffic a cell has follows from its limits: so many windows' worth of what its requests are
//! finally charged. Figures that are judged are those of issue 3.

mod dialects;
mod limits;
mod modes;
mod quotas;
mod sharing;
mod troubles;

use std::time::Duration;

use sluicegate::simulate::engine::{Charging, Counting, Enforcement, Limits};
use sluicegate::simulate::{Dialect, RateHeaders};

use super::scenario::{Account, Faults, Flow, Judged, Scenario};

/// How large the cells are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Tokens a minute of the usual account.
    pub(crate) tokens: u64,
    /// How many windows' worth of work there is.
    pub(crate) windows: f64,
}

impl Size {
    /// The size of the bench. Not a whole number of windows: work that just fits would end a window later
    /// or not by the chance of its sizes.
    pub(crate) const USUAL: Self = Self { tokens: 200_000, windows: 5.5 };

    /// Returns how many requests of `each` tokens fill the windows of a limit.
    fn requests(self, limit: u64, each: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "thousands"
        )]
        let requests = (limit as f64 * self.windows / each).ceil() as u64;
        requests
    }
}

/// Returns every cell of every scenario.
pub(crate) fn all(size: Size) -> Vec<Scenario> {
    [
        modes::scenarios(size),
        quotas::scenarios(size),
        limits::scenarios(size),
        sharing::scenarios(size),
        troubles::scenarios(size),
        dialects::scenarios(size),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns a cell of one account and one app that fills it, with nothing special.
fn single(name: &'static str, cell: impl Into<String>, limits: Limits, size: Size) -> Scenario {
    let requests = requests(&limits, size);
    // Where input and output are limited apart, headers tell it in the words of the one who does so; how it counts
    // and charges nobody tells sluicegate.
    let apart = limits.charging == Charging::Split;
    Scenario {
        name,
        cell: cell.into(),
        accounts: vec![Account::told("sk-main", limits)],
        flows: vec![Flow::chats("app", requests)],
        speaks: if apart { Dialect::Anthropic } else { Dialect::OpenAi },
        headers: RateHeaders::Shown,
        enforcement: Enforcement::On,
        faults: Faults::default(),
        judged: Judged::default(),
        seeds: None,
    }
}

/// Returns the usual limits: tokens are scarce, requests are not.
fn usual(size: Size, counting: Counting, charging: Charging) -> Limits {
    let split = charging == Charging::Split;
    Limits {
        requests_per_minute: Some(size.tokens / 20),
        tokens_per_minute: Some(size.tokens).filter(|_| !split),
        input_per_minute: Some(size.tokens).filter(|_| split),
        output_per_minute: Some(size.tokens).filter(|_| split),
        counting,
        charging,
        ..Limits::default()
    }
}

/// Returns how many of the usual chats fill the windows of these limits.
fn requests(limits: &Limits, size: Size) -> u64 {
    match limits.charging {
        Charging::Max => size.requests(limits.tokens_per_minute.unwrap_or(0), 1_000.0),
        Charging::Split => size.requests(limits.output_per_minute.unwrap_or(0), 143.0),
        Charging::Refund | Charging::Later => {
            size.requests(limits.tokens_per_minute.unwrap_or(0), 210.0)
        }
    }
}

/// Returns the words for a cell of counting and charging.
fn words(counting: Counting, charging: Charging) -> String {
    let counting = match counting {
        Counting::Bucket => "bucket",
        Counting::Sliding => "sliding",
        Counting::Calendar => "fixed",
        Counting::FirstRequest => "fixed-first",
    };
    let charging = match charging {
        Charging::Max => "max",
        Charging::Refund => "refund",
        Charging::Later => "later",
        Charging::Split => "split",
    };
    format!("{counting}/{charging}")
}

/// Judges makespan / oracle and refusals per 1,000.
fn at_most(ratio: f64, refused: f64) -> Judged {
    Judged { ratio: Some(ratio), refused, ..Judged::default() }
}

/// What is judged where the way of counting has to be found out: windows are allowed a little more.
fn judged_by_counting() -> [(Counting, Judged); 3] {
    let unknown = at_most(1.03, 2.0);
    [
        (Counting::Bucket, at_most(1.02, 1.0)),
        (Counting::Sliding, unknown),
        (Counting::Calendar, unknown),
    ]
}

const COUNTINGS: [Counting; 4] =
    [Counting::Bucket, Counting::Sliding, Counting::Calendar, Counting::FirstRequest];
const CHARGINGS: [Charging; 4] =
    [Charging::Max, Charging::Refund, Charging::Later, Charging::Split];
const SECOND: Duration = Duration::from_secs(1);
