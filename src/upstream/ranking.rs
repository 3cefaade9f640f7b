//! Orders the accounts that could serve a request.
//!
//! # What this module owns
//!
//! Who is asked first: what did not just fail it, then the healthier, then what has its prompt in
//! the cache, then what has most room, then what has less to do. A pin (an object that lives in one account) will go before
//! all of these.
//!
//! # What this module does not do
//!
//! It grants nothing: whoever ranks takes the first that has room. So a warm cache never makes
//! anybody wait, as an account without room is passed over.

use super::fleet::Standing;
use crate::units::{Pick, Tokens, Why};

/// What speaks for an account.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Merit {
    /// Whether it just failed this request.
    pub avoided: bool,
    /// How it stands.
    pub standing: Standing,
    /// How much of the prompt is in its cache, as far as is known.
    pub warm: Tokens,
    /// The part of its quotas that is free, 0 to 1.
    pub headroom: f64,
    /// Requests of it under way, which tell accounts apart that are equally free.
    pub open: usize,
}

/// Sorts `candidates`, best first; equal ones keep their order.
///
/// A warm cache counts until half of its account is used while another account is full: what that
/// one would refill is lost, and whoever comes with a burst later would miss it.
pub fn rank<T>(candidates: &mut [(Merit, T)]) {
    let wasteful = is_wasteful(candidates);
    candidates.sort_by(|(one, _), (other, _)| {
        let first = (one.avoided, one.standing).cmp(&(other.avoided, other.standing));
        first
            .then(other.warmth(wasteful).cmp(&one.warmth(wasteful)))
            .then(other.headroom.total_cmp(&one.headroom))
            .then(one.open.cmp(&other.open))
    });
}

/// Returns why the candidate at `at` was taken, of candidates that [`rank`] has sorted: what sets it apart from the
/// next one that could be used.
pub fn picked<T>(ranked: &[(Merit, T)], at: usize) -> Pick {
    let usable = || ranked.iter().enumerate().filter(|(_, (merit, _))| merit.can_lend());
    let (rank, of) = (1 + usable().filter(|(place, _)| *place < at).count(), usable().count());
    let taken = ranked.get(at).map(|(merit, _)| merit);
    let next = usable().find(|(place, _)| *place > at).map(|(_, (merit, _))| merit);
    let why = match (taken, next) {
        (Some(taken), Some(next)) => taken.ahead_of(next, is_wasteful(ranked)),
        _ if rank > 1 => Why::Left,
        _ if ranked.len() > 1 => Why::Health,
        _ => Why::Only,
    };
    Pick::new(why, rank, of)
}

/// Tells whether what an account would refill is lost.
fn is_wasteful<T>(candidates: &[(Merit, T)]) -> bool {
    let usable = candidates.iter().map(|(merit, _)| merit).filter(|merit| merit.is_usable());
    usable.map(|merit| merit.headroom).fold(0.0, f64::max) >= FULL
}

impl Merit {
    /// Tells whether a key of it can be lent at all.
    fn can_lend(&self) -> bool {
        matches!(self.standing, Standing::Ready | Standing::Doubtful | Standing::Trial)
    }

    /// Returns what sets it before `next`, as [`rank`] orders them.
    fn ahead_of(&self, next: &Self, wasteful: bool) -> Why {
        let differs = [
            (self.avoided != next.avoided, Why::Untried),
            (self.standing != next.standing, Why::Health),
            (self.warmth(wasteful) != next.warmth(wasteful), Why::Cache),
            (self.headroom.total_cmp(&next.headroom).is_ne(), Why::Room),
            (self.open != next.open, Why::Idle),
        ];
        differs.into_iter().find(|(differs, _)| *differs).map_or(Why::Order, |(_, why)| why)
    }

    fn is_usable(&self) -> bool {
        !self.avoided && self.standing == Standing::Ready
    }

    fn warmth(&self, wasteful: bool) -> u64 {
        if wasteful && self.headroom < SPARED { 0 } else { self.warm.count() }
    }
}

/// From here on what an account refills may be lost.
const FULL: f64 = 0.95;
/// So much of an account is left for others while another one is full.
const SPARED: f64 = 0.5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;

    fn merit(avoided: bool, standing: Standing, warm: u64, headroom: f64) -> Merit {
        Merit { avoided, standing, warm: Tokens::new(warm), headroom, open: 0 }
    }

    fn order(merits: &[Merit]) -> Vec<usize> {
        let mut candidates: Vec<(Merit, usize)> =
            merits.iter().enumerate().map(|(place, merit)| (*merit, place)).collect();
        rank(&mut candidates);
        candidates.into_iter().map(|(_, place)| place).collect()
    }

    #[test]
    fn the_best_goes_first() {
        let (ready, doubtful, trial) = (Standing::Ready, Standing::Doubtful, Standing::Trial);
        let resting = Standing::Resting(Instant::now() + Duration::from_secs(1));
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("more room",                  [merit(false, ready, 0, 0.2),    merit(false, ready, 0, 0.3)],        [1, 0]),
            ("equal: as they stand",       [merit(false, ready, 0, 0.3),    merit(false, ready, 0, 0.3)],        [0, 1]),
            ("warm before roomy",          [merit(false, ready, 0, 0.9),    merit(false, ready, 2_000, 0.1)],    [1, 0]),
            ("warmer before warm",         [merit(false, ready, 2_000, 0.9), merit(false, ready, 9_000, 0.5)],   [1, 0]),
            ("equally warm: more room",    [merit(false, ready, 2_000, 0.2), merit(false, ready, 2_000, 0.5)],   [1, 0]),
            ("healthy before warm",        [merit(false, doubtful, 9_000, 0.9), merit(false, ready, 0, 0.1)],    [1, 0]),
            ("a trial goes after all",     [merit(false, trial, 0, 1.0),    merit(false, doubtful, 0, 0.1)],     [1, 0]),
            ("resting goes last",          [merit(false, resting, 9_000, 1.0), merit(false, ready, 0, 0.0)],     [1, 0]),
            ("avoided goes last",          [merit(true, ready, 9_000, 0.9), merit(false, resting, 0, 0.1)],      [1, 0]),
            ("half used, other full",      [merit(false, ready, 9_000, 0.49), merit(false, ready, 0, 0.95)],     [1, 0]),
            ("half used, other nearly so", [merit(false, ready, 9_000, 0.49), merit(false, ready, 0, 0.94)],     [0, 1]),
            ("half left, other full",      [merit(false, ready, 9_000, 0.5), merit(false, ready, 0, 1.0)],       [0, 1]),
            ("the full one is no use",     [merit(false, ready, 9_000, 0.1), merit(false, resting, 0, 1.0)],     [0, 1]),
        ];
        for (name, merits, expected) in cases {
            assert_eq!(order(&merits), expected, "{name}");
        }
    }

    #[test]
    fn who_is_equally_free_and_less_busy_goes_first() {
        let equal = merit(false, Standing::Ready, 0, 1.0);
        assert_eq!(order(&[Merit { open: 3, ..equal }, Merit { open: 2, ..equal }]), [1, 0]);
        assert_eq!(order(&[Merit { open: 3, ..equal }, Merit { headroom: 0.9, ..equal }]), [0, 1]);
    }

    #[test]
    fn what_was_taken_is_told_with_what_set_it_apart() {
        let (ready, doubtful) = (Standing::Ready, Standing::Doubtful);
        let resting = Standing::Resting(Instant::now() + Duration::from_secs(1));
        let equal = merit(false, ready, 0, 0.5);
        /// Those that are ranked, which of them was taken, and what is told.
        type Case<'a> = (&'a [Merit], usize, &'a str);
        #[rustfmt::skip] // One case a line.
        let cases: [Case<'_>; 12] = [
            (&[equal],                                                                0, "only 1/1"),
            (&[equal, equal, equal],                                                  0, "order 1/3"),
            (&[equal, merit(false, resting, 0, 1.0), merit(false, Standing::Out, 0, 1.0)], 0, "health 1/1"),
            (&[equal, merit(false, doubtful, 9_000, 1.0)],                            0, "health 1/2"),
            (&[merit(false, ready, 2_000, 0.2), equal, equal],                        0, "cache 1/3"),
            (&[merit(false, ready, 0, 0.6), equal],                                   0, "room 1/2"),
            (&[equal, Merit { open: 1, ..equal }],                                    0, "idle 1/2"),
            (&[equal, merit(true, ready, 9_000, 0.9)],                                0, "untried 1/2"),
            (&[merit(false, ready, 2_000, 0.2), equal, equal],                        1, "order 2/3"),
            (&[merit(false, ready, 2_000, 0.2), equal],                               1, "left 2/2"),
            (&[merit(false, resting, 0, 0.2), merit(true, ready, 0, 1.0)],            1, "health 1/1"),
            // Warmth that is passed over, as another account is full, is not what spoke for it.
            (&[merit(false, ready, 0, 1.0), merit(false, ready, 9_000, 0.1)],         0, "room 1/2"),
        ];
        for (merits, at, told) in cases {
            let ranked: Vec<(Merit, ())> = merits.iter().map(|merit| (*merit, ())).collect();
            assert_eq!(picked(&ranked, at).to_string(), told);
        }
    }

    proptest! {
        /// Whatever the headrooms (also none, also nonsense), it is an order, and everybody is in it.
        #[test]
        fn everybody_is_ranked_once(
            merits in proptest::collection::vec((any::<bool>(), 0_u64..5_000, any::<f64>()), 0..8),
        ) {
            let merits: Vec<Merit> = merits
                .into_iter()
                .map(|(avoided, warm, headroom)| merit(avoided, Standing::Ready, warm, headroom))
                .collect();
            let mut places = order(&merits);
            places.sort_unstable();
            prop_assert_eq!(places, (0..merits.len()).collect::<Vec<_>>());
        }
    }
}
