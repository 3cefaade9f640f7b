//! Looks ahead: whether there will be room when what is under way falls due.

use super::super::moment::Moment;
use super::super::under_way::{Due, Dues};
use super::bucket::Bucket;
use super::{Meter, float};

/// What one request asks of a meter.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Wanted {
    /// What is debited now.
    pub(in super::super) now: u64,
    /// What its output may take.
    pub(in super::super) output: u64,
    /// What is left for others besides.
    pub(in super::super) spare: u64,
}

impl Meter {
    /// Tells whether there is room for `wanted` if all outputs, `most` together, were charged at once.
    pub(in super::super) fn fits(
        &self,
        wanted: &Wanted,
        most: u64,
        now: Moment,
        grace: u64,
    ) -> bool {
        let all = wanted.now.saturating_add(wanted.spare).saturating_add(most);
        i64::try_from(all).is_ok_and(|all| all <= self.room(now, grace))
    }

    /// Returns when there is room for `wanted` such that there also is for all that falls due later;
    /// `now` if there is, [`NEVER`] where time alone does not bring it.
    pub(in super::super) fn when_due(
        &self,
        wanted: &Wanted,
        dues: &Dues,
        now: Moment,
        grace: u64,
    ) -> Moment {
        let amount = wanted.now.saturating_add(wanted.spare);
        let at = match self {
            Self::Bucket(bucket) => bucket.when_due(wanted, dues, now),
            Self::Sliding(_) | Self::Fixed(_) => {
                let mut from = 0;
                let moments = dues.iter().map(|due| {
                    // All that falls due in between may do so at once.
                    let at = now.plus(std::mem::replace(&mut from, due.until));
                    let end = now.plus(due.until);
                    let within =
                        wanted.due(due).saturating_sub(self.left_by(end, dues, now, grace));
                    let sum = amount.saturating_add(within);
                    if sum > self.limit() {
                        return NEVER;
                    }
                    now.plus(self.when(sum, at, grace).since(at))
                });
                moments.max().unwrap_or(now)
            }
        };
        // What is due grows while nothing ends, as fast as room comes: to look all the time shows
        // nothing that the next answer does not.
        let others = dues.iter().any(|due| due.others > 0);
        if at > now && others { at.max(now.plus(self.window() / PAUSES)) } else { at }
    }

    fn window(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.window(),
            Self::Sliding(sliding) => sliding.window(),
            Self::Fixed(fixed) => fixed.recent.window(),
        }
    }

    /// Returns what falls due before the window in which `at` lies.
    fn left_by(&self, at: Moment, dues: &Dues, now: Moment, grace: u64) -> u64 {
        let is_gone = |due: Moment| match self {
            Self::Bucket(_) => false,
            Self::Sliding(sliding) => due.plus(sliding.window()) <= at,
            Self::Fixed(fixed) => match fixed.end(now).filter(|end| end.latest < at) {
                Some(end) => due.plus(grace) <= end.earliest,
                None => due.plus(fixed.recent.window()) <= at,
            },
        };
        let gone = dues.iter().take_while(|due| is_gone(now.plus(due.until)));
        gone.last().map_or(0, |due| due.least)
    }
}

impl Bucket {
    fn when_due(&self, wanted: &Wanted, dues: &Dues, now: Moment) -> Moment {
        let cap = float(self.limit()) - float(wanted.spare);
        let level = self.fine_level(now) - float(wanted.spare);
        let short = -self.lowest(level, cap, wanted, dues);
        if short <= TOKEN {
            return now;
        }
        if self.lowest(cap, cap, wanted, dues) < -TOKEN {
            return NEVER;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let wait = (short / self.per_nano()).ceil() as u64;
        now.plus(wait)
    }

    /// Returns the lowest level that there will be, from `level` on.
    fn lowest(&self, level: f64, cap: f64, wanted: &Wanted, dues: &Dues) -> f64 {
        let mut full = level - float(wanted.now);
        let mut lowest = full;
        let mut time = 0;
        for due in dues {
            // All that falls due in between may do so at once; and the bucket may be full from time to
            // time, when only so much has been charged for certain.
            let refill = self.per_nano() * float(time);
            lowest = lowest.min(full + refill - float(wanted.due(due)));
            time = due.until;
            full = full.min(cap - self.per_nano() * float(time) + float(due.mean));
        }
        lowest
    }
}

impl Wanted {
    fn due(&self, due: &Due) -> u64 {
        due.others.saturating_add((due.all - due.others).min(self.output))
    }
}

/// Not before answers come.
pub(in super::super) const NEVER: Moment = Moment(u64::MAX);
/// So often in a window it is looked at again without an answer.
const PAUSES: u64 = 4_096;
/// Less than a token is nothing.
const TOKEN: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::super::super::settings::Counting;
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: u64 = 60 * SECOND;

    /// `amount` falls due between `from` and `to` seconds from now; one more asks for nothing.
    fn due(amount: u64, from: u64, to: u64) -> Dues {
        let all =
            Due { until: to * SECOND, others: amount, all: amount, least: amount, mean: amount };
        let mut dues = [all; _];
        dues[0] = Due::default();
        dues[1] = Due { until: from * SECOND, ..Due::default() };
        dues
    }

    fn wait(meter: &Meter, now: u64, dues: &Dues) -> Option<u64> {
        let wanted = Wanted { now, output: 0, spare: 0 };
        let at = meter.when_due(&wanted, dues, Moment(MINUTE), 0);
        (at != NEVER).then_some(at.since(Moment(MINUTE)) / SECOND)
    }

    fn used(counting: Counting, amount: u64) -> Meter {
        let mut meter = Meter::new(counting, 600, MINUTE, Moment(0));
        meter.debit(amount, Moment(MINUTE), 0);
        meter
    }

    #[test]
    fn what_falls_due_in_half_a_minute_finds_what_refills_until_then() {
        let bucket = used(Counting::Bucket, 300);
        assert_eq!(wait(&bucket, 0, &due(600, 30, 40)), Some(0), "300 are there, 300 come");
        assert_eq!(wait(&bucket, 100, &due(600, 30, 40)), Some(10));
        assert_eq!(wait(&bucket, 0, &due(600, 0, 40)), Some(30), "it may all be due at once");
    }

    #[test]
    fn a_full_bucket_does_not_refill_for_what_falls_due() {
        let full = used(Counting::Bucket, 0);
        assert_eq!(wait(&full, 0, &due(600, 30, 40)), Some(0));
        assert_eq!(wait(&full, 0, &due(700, 30, 40)), None, "only answers bring that");
        assert_eq!(wait(&full, 300, &due(600, 30, 40)), Some(0), "what is debited now comes back");
    }

    #[test]
    fn what_is_expected_to_fall_due_earlier_leaves_room_to_refill() {
        let full = used(Counting::Bucket, 0);
        let mut dues = due(900, 30, 60);
        dues.iter_mut().skip(1).for_each(|due| due.least = 0);
        let with_mean = |mean: u64| {
            let mut dues = dues;
            dues[1] = Due { until: 30 * SECOND, others: mean, all: mean, least: 0, mean };
            wait(&full, 0, &dues)
        };
        assert_eq!(with_mean(300), Some(0), "300 of 900 early, for which 300 come back");
        assert_eq!(with_mean(299), None, "it would be full, and 601 fall due");
    }

    #[test]
    fn what_falls_due_behind_the_window_finds_another_one() {
        let sliding = used(Counting::Sliding, 500);
        assert_eq!(wait(&sliding, 50, &due(50, 30, 40)), Some(0));
        assert_eq!(wait(&sliding, 50, &due(60, 30, 40)), Some(30), "at 60 s the 500 leave");
        assert_eq!(wait(&sliding, 50, &due(500, 61, 70)), Some(0));

        let mut fixed = used(Counting::Fixed, 500);
        let end = super::super::End {
            earliest: Moment(MINUTE + 20 * SECOND),
            latest: Moment(MINUTE + 20 * SECOND),
        };
        fixed.learn_end(end, Moment(MINUTE), 0);
        assert_eq!(wait(&fixed, 100, &due(500, 21, 30)), Some(0), "the next window has room");
        assert_eq!(wait(&fixed, 100, &due(500, 19, 30)), Some(1), "this one has not");
    }

    #[test]
    fn at_the_beginning_of_time_nothing_is_gone() {
        for counting in [Counting::Sliding, Counting::Fixed] {
            let meter = Meter::new(counting, 600, MINUTE, Moment(0));
            let dues = [Due { until: 0, others: 600, all: 600, least: 600, mean: 600 }; _];
            let wanted = Wanted { now: 1, output: 0, spare: 0 };
            assert_eq!(meter.when_due(&wanted, &dues, Moment(0), 0), NEVER, "{counting:?}");
        }
    }

    #[test]
    fn what_fits_at_once_needs_no_look_ahead() {
        for counting in [Counting::Bucket, Counting::Sliding, Counting::Fixed] {
            let meter = used(counting, 400);
            let wanted = Wanted { now: 100, output: 50, spare: 20 };
            let fits = |most| meter.fits(&wanted, most, Moment(MINUTE), 0);
            assert_eq!([80, 81].map(fits), [true, false], "{counting:?}");
        }
    }
}
