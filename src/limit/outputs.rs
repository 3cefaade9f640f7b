//! What outputs were so far, and how long their answers took.
//!
//! # What this module owns
//!
//! [`Outputs`], the answers that ended, by the time that each took; and [`Course`], what becomes of a
//! request as time goes by: the part that has ended by an age, and what it was charged then.
//!
//! Short answers end first. Who learned from every answer as it ends would learn from the short ones
//! alone whenever more is sent than before, and keep too little free. So those still under way count
//! too: that one is not over at some age is known as well as that another one is.
//!
//! # Invariants
//!
//! 1. What nobody has seen yet costs its whole bound, as soon as it can.

use serde::{Deserialize, Serialize};

use super::meter::float;

/// What outputs were so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Outputs {
    /// As many as [`CELLS`].
    cells: Vec<Cell>,
    /// All of them together: what every request asks for.
    #[serde(skip)]
    all: Cell,
    /// The longest.
    most: u64,
}

/// The answers that took about as long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Cell {
    ended: f64,
    output: f64,
    squares: f64,
}

/// What becomes of one request, by its age.
#[derive(Debug)]
pub(super) struct Course {
    marks: [Mark; CELLS + 1],
    /// Behind this mark nobody has seen anything end.
    known: usize,
}

/// What is to be expected of a request of some age.
#[derive(Debug)]
pub(super) struct Aged<'a> {
    course: &'a Course,
    age: u64,
    now: Mark,
    /// The end of its cell.
    late: u64,
    then: Mark,
}

/// What has become of one request until the beginning of a cell, on average.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// The part of it that is still under way.
    open: f64,
    /// Its output, so far as it has ended.
    output: f64,
    /// The square of that.
    squares: f64,
}

/// What a request of some age will have used until some later age.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Likely {
    pub(super) mean: f64,
    /// Where it is not sure whether it ends so soon.
    pub(super) least: f64,
    pub(super) variance: f64,
    /// The chance that it is one of those of which nobody knows anything, with all that it may use.
    pub(super) unknown: f64,
}

impl Outputs {
    /// Takes in that an answer used `output` tokens and took so many nanoseconds.
    pub(super) fn learn(&mut self, output: u64, took: u64) {
        if self.all.ended >= REMEMBERED {
            self.cells.iter_mut().for_each(Cell::fade);
            self.all = sum(&self.cells);
        }
        self.most = self.most.max(output);
        if let Some(cell) = self.cells.get_mut(cell_of(took)) {
            cell.add(output);
            self.all.add(output);
        }
    }

    /// Returns whether any answer was seen.
    pub(super) fn is_known(&self) -> bool {
        self.all.ended > 0.0
    }

    /// Returns it without what no answers can have led to: it comes from a file.
    pub(super) fn sane(self) -> Self {
        let is_sane = |number: f64| (0.0..1e18).contains(&number);
        let fits = self.cells.len() == CELLS;
        let is_cell = |cell: &Cell| {
            is_sane(cell.ended) && is_sane(cell.output) && (0.0..1e36).contains(&cell.squares)
        };
        if !fits || !self.cells.iter().all(is_cell) {
            return Self::default();
        }
        Self { all: sum(&self.cells), ..self }
    }

    /// Returns how much one answer may be expected to use at most, usually: the mean and one deviation,
    /// or the most while few were seen; `None` while nothing is known.
    pub(super) fn usual(&self) -> Option<u64> {
        if self.all.ended >= FEW {
            return Some(whole(self.all.mean() + self.all.variance().sqrt()));
        }
        self.is_known().then_some(self.most)
    }

    /// Returns what a request may use whose bound is this, or which has none.
    pub(super) fn most(&self, bound: Option<u64>) -> u64 {
        bound.unwrap_or(self.most.max(MODEST))
    }

    /// Returns what to expect of a request that may use so much: all of it while nothing is known.
    pub(super) fn mean(&self, most: u64) -> u64 {
        if self.is_known() { whole(self.all.mean()).min(most) } else { most }
    }

    /// Returns what to keep free for so many requests that may use `most` together, whatever their age.
    pub(super) fn sum(&self, count: u64, most: u64) -> u64 {
        let all = &self.all;
        if all.ended == 0.0 {
            return most;
        }
        let unknown = float(most) / (all.ended + UNSEEN);
        let deviation = (all.variance() * float(count)).sqrt();
        whole(all.mean() * float(count) + unknown + DEVIATIONS * deviation).min(most)
    }

    /// Works out what becomes of requests. `under_way` are those that have not ended yet: how many are
    /// how old, in nanoseconds.
    pub(super) fn course(&self, under_way: impl Iterator<Item = (u64, u64)>) -> Course {
        let mut open = [0.0; CELLS];
        for (age, count) in under_way {
            if let Some(open) = open.get_mut(cell_of(age)) {
                *open += float(count);
            }
        }
        // Those in a cell have passed half of it.
        let mut later = 0.0;
        for open in open.iter_mut().rev() {
            let here = std::mem::replace(open, later + *open / 2.0);
            later += here;
        }
        let begin = Mark { open: 1.0, output: 0.0, squares: 0.0 };
        let mut course = Course { marks: [begin; CELLS + 1], known: 0 };
        let mut left = self.all.ended;
        let mut mark = begin;
        let nexts = course.marks.iter_mut().skip(1);
        for (i, ((cell, open), next)) in self.cells.iter().zip(open).zip(nexts).enumerate() {
            if cell.ended > 0.0 {
                let ends = mark.open * cell.ended / (left + open + UNSEEN);
                mark.open -= ends;
                mark.output += ends * cell.output / cell.ended;
                mark.squares += ends * cell.squares / cell.ended;
                course.known = i + 1;
            }
            left = (left - cell.ended).max(0.0);
            *next = mark;
        }
        course
    }
}

impl Aged<'_> {
    /// Returns what it will have used in so many nanoseconds.
    ///
    /// Where in its cell the others ended is not known: perhaps they all have, and it is a longer one.
    pub(super) fn within(&self, nanos: u64) -> Likely {
        let to = self.age.saturating_add(nanos);
        let soon = self.course.between(&self.now, to);
        let late = self.course.between(&self.then, to.max(self.late));
        Likely {
            mean: soon.mean.max(late.mean),
            least: soon.mean.min(late.mean),
            variance: soon.variance.max(late.variance),
            unknown: soon.unknown.max(late.unknown),
        }
    }
}

impl Default for Outputs {
    fn default() -> Self {
        Self { cells: vec![Cell::default(); CELLS], all: Cell::default(), most: 0 }
    }
}

impl Cell {
    fn mean(&self) -> f64 {
        self.output / self.ended
    }

    fn variance(&self) -> f64 {
        (self.squares / self.ended - self.mean() * self.mean()).max(0.0)
    }

    fn add(&mut self, output: u64) {
        self.ended += 1.0;
        self.output += float(output);
        self.squares += float(output) * float(output);
    }

    fn fade(&mut self) {
        *self = Self {
            ended: self.ended / 2.0,
            output: self.output / 2.0,
            squares: self.squares / 2.0,
        };
    }
}

impl Course {
    /// Returns the age at which all of which anything is known have ended.
    pub(super) fn end(&self) -> u64 {
        if self.known == 0 { 0 } else { begin_of(self.known) }
    }

    /// Returns what is to be expected of a request of this age that has not ended.
    pub(super) fn of(&self, age: u64) -> Aged<'_> {
        let late = begin_of(cell_of(age).min(self.known) + 1).max(age);
        Aged { course: self, age, now: self.at(age), late, then: self.at(late) }
    }

    fn between(&self, begin: &Mark, to: u64) -> Likely {
        let end = self.at(to);
        let mean = (end.output - begin.output).max(0.0) / begin.open;
        let squares = (end.squares - begin.squares) / begin.open;
        let unknown = if to >= self.end() { end.open / begin.open } else { 0.0 };
        Likely { mean, least: mean, variance: (squares - mean * mean).max(0.0), unknown }
    }

    fn at(&self, age: u64) -> Mark {
        let cell = cell_of(age).min(self.known);
        let last = Mark { open: 1.0, output: 0.0, squares: 0.0 };
        let mark = |i: usize| self.marks.get(i).copied().unwrap_or(last);
        let (mark, next) = (mark(cell), mark((cell + 1).min(self.known)));
        let (begin, end) = (begin_of(cell), begin_of(cell + 1));
        let part = (float(age.saturating_sub(begin)) / float(end - begin)).min(1.0);
        let between = |a: f64, b: f64| a + part * (b - a);
        Mark {
            open: between(mark.open, next.open),
            output: between(mark.output, next.output),
            squares: between(mark.squares, next.squares),
        }
    }
}

fn sum(cells: &[Cell]) -> Cell {
    let plus = |sum: Cell, cell: &Cell| Cell {
        ended: sum.ended + cell.ended,
        output: sum.output + cell.output,
        squares: sum.squares + cell.squares,
    };
    cells.iter().fold(Cell::default(), plus)
}

/// Returns the cell of what takes so many nanoseconds: four to each doubling.
fn cell_of(nanos: u64) -> usize {
    let units = nanos / SHORTEST;
    let Some(doublings) = units.checked_ilog2() else { return 0 };
    let quarter = ((nanos / (SHORTEST / 4)) >> doublings) & 3;
    let cell = u64::from(doublings) * 4 + quarter + 1;
    usize::try_from(cell).map_or(CELLS - 1, |cell| cell.min(CELLS - 1))
}

/// Returns where a cell begins, in nanoseconds.
fn begin_of(cell: usize) -> u64 {
    let Some(step) = cell.checked_sub(1) else { return 0 };
    let quarters = step % 4;
    let octave = SHORTEST << (step / 4);
    octave + octave / 4 * u64::try_from(quarters).unwrap_or(0)
}

/// Reserved for an output without a bound before anything is known: what a short answer has.
pub(super) const MODEST: u64 = 256;
/// How many deviations of a sum are kept free beyond its mean.
pub(super) const DEVIATIONS: f64 = 2.0;

/// The cells: from 16 ms to a quarter of an hour.
const CELLS: usize = 64;
/// The end of the first cell, 2^24 nanoseconds.
const SHORTEST: u64 = 1 << 24;
/// About so many answers are remembered: what outputs are like may change.
const REMEMBERED: f64 = 512.0;
/// While there are fewer, their most stands for what is usual.
const FEW: f64 = 32.0;
/// Beside those seen there may be so many that last longer than all of them.
const UNSEEN: f64 = 1.0;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
pub(super) fn whole(amount: f64) -> u64 {
    amount.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn nobody() -> impl Iterator<Item = (u64, u64)> {
        std::iter::empty()
    }

    /// What a request sent now will have used when all that is known has ended.
    fn whole_mean(course: &Course) -> f64 {
        course.of(0).within(course.end()).mean
    }

    #[test]
    fn cells_follow_each_other() {
        assert_eq!(begin_of(0), 0);
        for cell in 1..CELLS {
            let begin = begin_of(cell);
            assert!(begin > begin_of(cell - 1));
            assert_eq!([cell_of(begin - 1), cell_of(begin)], [cell - 1, cell]);
        }
        assert_eq!(cell_of(u64::MAX), CELLS - 1);
    }

    #[test]
    fn short_answers_that_end_first_do_not_count_alone() {
        let mut outputs = Outputs::default();
        (0..10).for_each(|_| outputs.learn(100, SECOND));
        let alone = whole_mean(&outputs.course(nobody()));
        assert!((85.0..100.0).contains(&alone), "{alone}");
        let course = outputs.course(std::iter::once((5 * SECOND, 90)));
        let likely = course.of(0).within(course.end());
        assert!((9.0..11.0).contains(&likely.mean), "a tenth has ended: {likely:?}");
        assert!((0.89..0.91).contains(&likely.unknown), "of the others nobody knows: {likely:?}");
    }

    #[test]
    fn who_lasts_longer_than_the_short_ones_is_expected_to_be_a_long_one() {
        let mut outputs = Outputs::default();
        for _ in 0..100 {
            outputs.learn(10, SECOND / 10);
            outputs.learn(1_000, 10 * SECOND);
        }
        let course = outputs.course(nobody());
        let fresh = course.of(0).within(course.end());
        let old = course.of(SECOND).within(course.end());
        assert!((495.0..505.0).contains(&fresh.mean), "{fresh:?}");
        assert!((970.0..=1_000.0).contains(&old.mean), "{old:?}");
        assert!(old.variance < 20_000.0, "all of them are long: {old:?}");
        let soon = course.of(SECOND).within(SECOND);
        assert_eq!((soon.mean, soon.unknown), (0.0, 0.0), "none ends yet");
    }

    #[test]
    fn what_is_older_than_all_known_may_cost_all_at_once() {
        let mut outputs = Outputs::default();
        assert_eq!(outputs.course(nobody()).of(0).within(0).unknown, 1.0, "nothing is known");
        outputs.learn(10, SECOND);
        let course = outputs.course(nobody());
        assert_eq!(course.of(9 * SECOND).within(0).unknown, 1.0);
        assert_eq!(course.of(0).within(SECOND / 2).unknown, 0.0, "it is not as old yet");
    }

    #[test]
    fn what_outputs_are_like_may_change() {
        let mut outputs = Outputs::default();
        (0..2_000).for_each(|_| outputs.learn(100, SECOND));
        (0..2_000).for_each(|_| outputs.learn(300, SECOND));
        assert!((290..=300).contains(&outputs.mean(1_000)), "{}", outputs.mean(1_000));
        assert_eq!(outputs.mean(50), 50, "no more than it may");
    }

    #[test]
    fn numbers_that_make_no_sense_are_left() {
        let mut outputs = Outputs::default();
        outputs.learn(100, SECOND);
        assert_eq!(outputs.clone().sane(), outputs);
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            let mut wrong = outputs.clone();
            wrong.cells[3].ended = bad;
            assert_eq!(wrong.sane(), Outputs::default());
        }
    }
}
