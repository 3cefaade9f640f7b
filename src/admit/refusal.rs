//! Why a request was not admitted, and when it would be worth coming back.

use std::time::Duration;

use thiserror::Error;

use crate::limit::QuotaKind;
use crate::line::Full;
use crate::units::ModelName;
use crate::upstream::AdoptError;

/// Why a request was not admitted. Nothing is debited in any case.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The request can never fit: waiting cannot help.
    #[error(
        "the request needs {wanted} {}, but the limit of `{model}` is {limit} {}",
        quota.unit(), quota.phrase()
    )]
    TooLarge {
        /// The model asked for.
        model: ModelName,
        /// The quota that is too small.
        quota: QuotaKind,
        /// Its limit.
        limit: u64,
        /// What the request would be charged.
        wanted: u64,
    },

    /// The request waited as long as it may, and its turn had not come.
    #[error(
        "the request waited {} ms in line for `{model}`{} and its turn has not come; about {} more \
         stand before it",
        waited.as_millis(), short_of_phrase(*short_of), ahead
    )]
    TimeIsUp {
        /// The model asked for.
        model: ModelName,
        /// The quota it waited for, where known.
        short_of: Option<QuotaKind>,
        /// How long it waited.
        waited: Duration,
        /// How many requests stand before it.
        ahead: u64,
        /// When its turn is expected, from now.
        expected: Duration,
    },

    /// As many wait as may: nobody else can join the line.
    #[error("{}", full_phrase(*full, *waiting, model))]
    LineFull {
        /// The model asked for.
        model: ModelName,
        /// Whether it is the app that has as many as it may, or the whole line.
        full: Full,
        /// How many wait in all.
        waiting: usize,
        /// How many of them stand before it.
        ahead: u64,
        /// When the turn of one more would come, from now.
        expected: Duration,
    },

    /// The client's own key cannot be an account.
    #[error("{0}")]
    OwnKey(AdoptError),

    /// The program is stopping and takes nothing new.
    #[error("sluicegate is stopping and takes no new requests")]
    Stopping,
}

impl Refusal {
    /// Tells whether the same request may succeed later.
    pub const fn is_worth_retrying(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::OwnKey(AdoptError::TooLong))
    }

    /// Returns how long the caller should stay away: by its place in the line, within 1 to 59 s, and
    /// the longer, the further behind it stands.
    ///
    /// A longer time would be ignored: openai-python 1.x and openai-node 4 and 5 treat more than
    /// 60 s as no time at all and come back within half a second (measured 2026-11-21).
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::TooLarge { .. } => SHORTEST,
            Self::TimeIsUp { expected, .. } | Self::LineFull { expected, .. } => {
                stay_away(*expected)
            }
            Self::OwnKey(_) | Self::Stopping => Duration::from_secs(2),
        }
    }

    /// Returns when the turn of the request is expected, from now; `None` where that is unknown.
    pub const fn expected_wait(&self) -> Option<Duration> {
        match self {
            Self::TimeIsUp { expected, .. } | Self::LineFull { expected, .. } => Some(*expected),
            Self::TooLarge { .. } | Self::OwnKey(_) | Self::Stopping => None,
        }
    }
}

/// Maps the wait that is expected to 1..59 s so that a longer one stays longer: who was told the same
/// time would come back together. From 2 to 58 s it is the wait itself; who is told 59 s, because it
/// would have to stay away for longer, comes back to its place.
pub(super) fn stay_away(expected: Duration) -> Duration {
    if expected < 2 * SHORTEST {
        SHORTEST + expected / 2
    } else if expected <= CANDID {
        expected
    } else {
        let over = (expected - CANDID).as_secs_f64().min(DAY);
        CANDID + (LONGEST - CANDID).mul_f64(over.ln_1p() / DAY.ln_1p())
    }
}

const SHORTEST: Duration = Duration::from_secs(1);
/// Up to here a caller is told what is expected; what is beyond is folded into the rest.
const CANDID: Duration = Duration::from_secs(58);
const LONGEST: Duration = Duration::from_secs(59);
const DAY: f64 = 86_400.0;

fn full_phrase(full: Full, waiting: usize, model: &ModelName) -> String {
    match full {
        Full::Line => {
            format!("the line is full: {waiting} requests wait already, for `{model}` and others")
        }
        Full::App => {
            String::from("as many requests of this app wait as `line.max_waiting_per_app` allows")
        }
    }
}

fn short_of_phrase(quota: Option<QuotaKind>) -> String {
    quota.map(|quota| format!(" ({})", quota.phrase())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_wait_is_told_a_longer_time_and_none_leaves_1_to_59_seconds() {
        let waits = (0..1500_u64).map(|step| stay_away(Duration::from_millis(step * 200)));
        let told: Vec<Duration> = waits.collect();
        assert!(told.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(told.first(), Some(&SHORTEST));
        assert!(stay_away(Duration::from_secs(86_400)) <= LONGEST);
        assert_eq!(stay_away(Duration::from_secs(17)), Duration::from_secs(17));
        let seconds = |wait| stay_away(Duration::from_secs(wait)).as_secs_f64().ceil();
        assert!((64..10_000).all(|wait| seconds(wait) > 58.5), "it is told less than 59 s");
    }
}
