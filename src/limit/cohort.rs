//! A sample of outputs that is not made of the short ones.
//!
//! # What this module owns
//!
//! [`Cohort`]: some requests that were sent after each other, and what came of them. Who learned from
//! every answer as it ends would learn from the short ones first, whenever more is sent than before,
//! and keep too little free for the rest; so the outputs of a cohort count when (nearly) all of it
//! has ended.

use super::meter::float;

/// The cohort that is being gathered or awaited.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cohort {
    number: u32,
    members: u32,
    ended: u32,
    sum: f64,
    squares: f64,
    most: u64,
}

/// A number that says to which cohort a request belongs; zero is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Member(u32);

/// What the outputs of a cohort were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) size: u32,
    pub(super) mean: f64,
    pub(super) variance: f64,
}

impl Cohort {
    /// Takes a request that is being sent into the cohort, if it has a place.
    pub(super) fn join(&mut self) -> Member {
        if self.members == SIZE {
            return Member(0);
        }
        self.number = self.number.max(1);
        self.members += 1;
        Member(self.number)
    }

    /// Takes in what came of a member: its output, or `None` if that was never known. Returns the
    /// sample when the cohort is complete; the next one begins then.
    pub(super) fn end(&mut self, member: Member, output: Option<u64>) -> Option<Sample> {
        if member.0 == 0 || member.0 != self.number {
            return None;
        }
        match output {
            Some(output) => {
                self.ended += 1;
                self.sum += float(output);
                self.squares += float(output) * float(output);
                self.most = self.most.max(output);
            }
            None => self.members = self.members.saturating_sub(1),
        }
        let missing = self.members.saturating_sub(self.ended);
        let is_full = self.members == SIZE || output.is_none();
        if !is_full || self.ended == 0 || missing > self.members / LATE {
            return None;
        }
        // Those still missing are longer than all others.
        let (late, long) = (f64::from(missing), float(self.most) * 1.5);
        let size = self.ended + missing;
        let mean = (self.sum + late * long) / f64::from(size);
        let squares = (self.squares + late * long * long) / f64::from(size);
        *self = Self { number: self.number.wrapping_add(1).max(1), ..Self::default() };
        Some(Sample { size, mean, variance: (squares - mean * mean).max(0.0) })
    }
}

/// The members of a cohort.
const SIZE: u32 = 32;
/// One in so many members need not be awaited.
const LATE: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_answers_that_end_first_do_not_count_alone() {
        let mut cohort = Cohort::default();
        let members: Vec<Member> = (0..SIZE).map(|_| cohort.join()).collect();
        assert_eq!(cohort.join(), Member::default(), "it is full");
        let mut ends = members.iter().zip(1_u64..);
        let early = ends.by_ref().take(29).find_map(|(member, at)| cohort.end(*member, Some(at)));
        assert_eq!(early, None);
        let sample = ends.find_map(|(member, at)| cohort.end(*member, Some(at))).expect("complete");
        assert_eq!(sample.size, SIZE);
        assert!((16.0..18.0).contains(&sample.mean), "{sample:?}");
        assert_ne!(cohort.join(), Member::default(), "the next one gathers");
    }

    #[test]
    fn a_member_that_is_lost_is_not_awaited() {
        let mut cohort = Cohort::default();
        let (first, second) = (cohort.join(), cohort.join());
        assert_eq!(cohort.end(first, Some(10)), None);
        let sample = cohort.end(second, None).expect("nobody else is awaited");
        assert_eq!((sample.size, sample.mean), (1, 10.0));
        assert_eq!(cohort.end(second, Some(5)), None, "it belonged to the one before");
    }
}
