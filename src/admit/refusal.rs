//! Why a request was not admitted, and when it would be worth coming back.

use std::time::Duration;

use thiserror::Error;

use crate::limit::QuotaKind;
use crate::line::Full;
use crate::units::{AccountName, ModelName};
use crate::upstream::{AdoptError, Trouble};

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
        "the request waited {} ms in line for `{model}`{} and its turn has not come; {}",
        waited.as_millis(), short_of_phrase(*short_of), ahead_phrase(*ahead)
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
        /// How many came before it, in every app: tells it apart from all others.
        arrival: u64,
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
        /// How many came before it, in every app: tells it apart from all others.
        arrival: u64,
        /// When the turn of one more would come, from now.
        expected: Duration,
    },

    /// The client's own key cannot be an account.
    #[error("{0}")]
    OwnKey(AdoptError),

    /// The one account that can serve the request cannot be used.
    #[error(
        "the account `{account}` cannot be used for now{}, and no other can serve this request: it names \
         what that one has, or asks for it", trouble_phrase(trouble.as_ref())
    )]
    AccountDown {
        /// The account.
        account: AccountName,
        /// What is wrong with it.
        trouble: Option<Trouble>,
        /// When it may be tried again, from now, if that is known.
        back_in: Option<Duration>,
    },

    /// The one account that can serve the request is not configured.
    #[error(
        "the account `{account}` is not configured, and no other can serve this request: it names what that \
         one has, or asks for it"
    )]
    AccountGone {
        /// The account.
        account: AccountName,
    },

    /// The keys of its app were taken away.
    #[error("the keys of its app were revoked while the request waited; it was not sent")]
    Revoked,

    /// The program is stopping and takes nothing new.
    #[error("sluicegate is stopping and takes no new requests")]
    Stopping,
}

impl Refusal {
    /// Tells whether the same request may succeed later.
    pub const fn is_worth_retrying(&self) -> bool {
        !matches!(
            self,
            Self::TooLarge { .. }
                | Self::OwnKey(AdoptError::TooLong)
                | Self::AccountGone { .. }
                | Self::Revoked
        )
    }

    /// Returns the quota that was too small, or that it waited for, where that is known.
    pub const fn short_of(&self) -> Option<QuotaKind> {
        match self {
            Self::TooLarge { quota, .. } => Some(*quota),
            Self::TimeIsUp { short_of, .. } => *short_of,
            _ => None,
        }
    }

    /// Returns how long the caller should stay away: by its place in the line, within 1 to 59 s, and
    /// different for each caller.
    ///
    /// A longer time would be ignored: openai-python 1.x and openai-node 4 and 5 treat more than
    /// 60 s as no time at all and come back within half a second (measured 2026-11-21).
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::TooLarge { .. } | Self::AccountGone { .. } => SHORTEST,
            Self::AccountDown { back_in, .. } => back_in.unwrap_or(AGAIN).clamp(SHORTEST, LONGEST),
            // A slot that becomes free is for the first, however long that has been there.
            Self::TimeIsUp {
                short_of: Some(QuotaKind::Concurrency | QuotaKind::AppConcurrency),
                expected,
                arrival,
                ..
            } => stay_away(*expected, *arrival),
            Self::TimeIsUp { expected, arrival, waited, .. } => {
                // In line again a little before its turn, it is saved up for; after it, it would wait
                // until what went in its place has been refilled.
                let early = LEAD.min(*waited / 2).min(*expected / 3);
                stay_away(*expected - early, *arrival)
            }
            Self::LineFull { expected, arrival, .. } => stay_away(*expected, *arrival),
            Self::OwnKey(_) | Self::Revoked | Self::Stopping => AGAIN,
        }
    }

    /// Returns when the turn of the request is expected, from now, but not before it may come back;
    /// `None` where that is unknown.
    pub fn expected_wait(&self) -> Option<Duration> {
        match self {
            Self::TimeIsUp { expected, .. } | Self::LineFull { expected, .. } => {
                Some((*expected).max(self.retry_after()))
            }
            Self::TooLarge { .. }
            | Self::OwnKey(_)
            | Self::AccountDown { .. }
            | Self::AccountGone { .. }
            | Self::Revoked
            | Self::Stopping => None,
        }
    }
}

/// Tells the `arrival`-th request, whose turn is expected after `expected`, how long to stay away:
/// within 1 to 59 s, and different for each, as who was told the same time would come back together.
///
/// From 2 to 56 s it is the wait itself and a part of a second, because apps of one rank expect their
/// turns at one moment; then a little less. Whoever would have to stay away for
/// longer than the minute that SDKs accept is told 59 s, spread over the last of them by its arrival;
/// it comes back to that place.
fn stay_away(expected: Duration, arrival: u64) -> Duration {
    if expected > FAR {
        return LONGEST - Duration::from_millis(SPREAD - 1 - arrival % SPREAD);
    }
    let told = if expected < 2 * SHORTEST {
        SHORTEST + expected / 2
    } else if expected <= CANDID {
        expected
    } else {
        let over = (expected - CANDID).as_secs_f64();
        CANDID + Duration::from_secs_f64(FOLD * over / (over + FOLD))
    };
    told + Duration::from_millis(arrival % OWN)
}

/// How long before its turn one comes back that was held for twice as long or longer.
const LEAD: Duration = Duration::from_millis(2_500);
/// How long to stay away where nobody knows.
const AGAIN: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_secs(1);
/// Up to here a caller is told what is expected.
const CANDID: Duration = Duration::from_secs(56);
/// Up to here what is beyond is folded into 2.2 s, so that a longer wait stays longer.
const FAR: Duration = Duration::from_secs(64);
const FOLD: f64 = 3.0;
const LONGEST: Duration = Duration::from_secs(59);
/// So many milliseconds those share who are told 59 s.
const SPREAD: u64 = 800;
/// So many of one rank are told times of their own.
const OWN: u64 = 256;

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

fn ahead_phrase(ahead: u64) -> String {
    match ahead {
        0 => String::from("it is the first in line"),
        1 => String::from("about one more stands before it"),
        _ => format!("about {ahead} more stand before it"),
    }
}

fn trouble_phrase(trouble: Option<&Trouble>) -> String {
    trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default()
}

fn short_of_phrase(quota: Option<QuotaKind>) -> String {
    quota.map(|quota| format!(" ({})", quota.phrase())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_wait_is_told_a_longer_time_up_to_a_minute() {
        let waits = (0..=640_u64).map(|step| stay_away(Duration::from_millis(step * 100), 0));
        let told: Vec<Duration> = waits.collect();
        assert!(told.windows(2).all(|pair| pair[0].as_millis() < pair[1].as_millis()));
        assert_eq!(told.first(), Some(&SHORTEST));
        assert_eq!(stay_away(Duration::from_secs(17), 0), Duration::from_secs(17));
        let folded = Duration::from_secs(59) - stay_away(Duration::from_secs(59), 0);
        assert!(folded <= Duration::from_secs(2), "it comes {folded:?} too early");
    }

    #[test]
    fn who_is_first_is_told_so() {
        let words = |ahead| {
            let (model, waited) = (ModelName::new("m"), Duration::from_millis(2_916));
            let (short_of, expected) = (Some(QuotaKind::TokensPerMinute), Duration::ZERO);
            Refusal::TimeIsUp { model, short_of, waited, ahead, arrival: 0, expected }.to_string()
        };
        let start = "the request waited 2916 ms in line for `m` (tokens per minute) and its turn \
                     has not come; ";
        assert_eq!(words(0), format!("{start}it is the first in line"));
        assert_eq!(words(1), format!("{start}about one more stands before it"));
        assert_eq!(words(2), format!("{start}about 2 more stand before it"));
    }

    #[test]
    fn who_waits_for_a_slot_is_told_its_turn_and_others_a_little_less() {
        let told = |short_of| {
            let (waited, expected) = (Duration::from_secs(5), Duration::from_secs(20));
            let model = ModelName::new("m");
            Refusal::TimeIsUp { model, short_of, waited, ahead: 3, arrival: 0, expected }
                .retry_after()
                .as_millis()
        };
        assert_eq!(told(Some(QuotaKind::Concurrency)), 20_000);
        assert_eq!(told(Some(QuotaKind::TokensPerMinute)), 17_500);
        assert_eq!(told(None), 17_500);
    }

    #[test]
    fn nobody_is_told_to_come_back_after_its_turn() {
        for expected in [0, 1, 17, 70].map(Duration::from_secs) {
            let (model, full) = (ModelName::new("m"), Full::Line);
            let refusal =
                Refusal::LineFull { model, full, waiting: 9, ahead: 9, arrival: 3, expected };
            let told = refusal.expected_wait().expect("a time");
            assert!(told >= refusal.retry_after() && told >= expected, "{expected:?}: {told:?}");
        }
    }

    #[test]
    fn those_who_expect_their_turns_at_one_moment_are_told_different_times() {
        for expected in [0, 1, 17, 57, 63].map(Duration::from_secs) {
            let told: std::collections::BTreeSet<u128> =
                (0..OWN).map(|arrival| stay_away(expected, arrival).as_millis()).collect();
            assert_eq!(told.len(), usize::try_from(OWN).expect("few"), "{expected:?}");
            assert!(told.iter().all(|millis| (1_000..59_000).contains(millis)), "{told:?}");
        }
    }

    #[test]
    fn whoever_would_have_to_stay_away_longer_is_told_59_seconds_each_its_own() {
        let hour = Duration::from_secs(3600);
        let told: Vec<Duration> = (1_000..1_500).map(|ahead| stay_away(hour, ahead)).collect();
        assert!(told.iter().all(|time| time.as_nanos().div_ceil(1_000_000_000) == 59), "{told:?}");
        let distinct: std::collections::BTreeSet<u128> =
            told.iter().map(Duration::as_millis).collect();
        assert_eq!(distinct.len(), 500);
    }
}
