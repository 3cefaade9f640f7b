//! What was measured, as tables, and against the aims.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::crowd::STREAMS;
use super::load::Work;
use super::process::Start;

/// One round of one work at one target.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) units: usize,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// From sending to arrival of each event, sorted.
    pub(crate) held: Vec<Duration>,
}

impl Sample {
    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count(self.units)
    }

    fn rate(&self) -> f64 {
        count(self.units) / self.wall.as_secs_f64()
    }

    fn held_micros(&self, share: f64) -> f64 {
        self.held.get(place(self.held.len(), share)).map_or(0.0, |held| held.as_secs_f64() * 1e6)
    }
}

type Row = (Work, &'static str);

/// All samples of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    starts: Vec<Start>,
    targets: Vec<&'static str>,
    samples: BTreeMap<Row, Vec<Sample>>,
    /// Bytes of memory for each open stream.
    held: BTreeMap<&'static str, usize>,
}

/// Aims of CPU per request or event, as ratios to the bare proxy, and of single figures.
const AIMS: [(Work, f64); 3] = [(Work::Small, 1.4), (Work::LargeSeen, 2.0), (Work::Streams, 1.3)];
const MOST_MICROS_UNSEEN: f64 = 7_000.0;
const MOST_MILLIS_TO_FIRST_ANSWER: f64 = 100.0;
const MOST_MEGABYTES_IDLE: f64 = 20.0;
const MOST_BYTES_HELD: f64 = 65_536.0;
const MOST_HELD_TO_BARE: f64 = 1.5;

const BARE: &str = "bare hyper proxy";
const OURS: &str = "sluicegate";

impl Report {
    pub(crate) fn started(&mut self, start: Start) {
        self.starts.push(start);
    }

    pub(crate) fn measured(&mut self, work: Work, target: &'static str, sample: Sample) {
        if !self.targets.contains(&target) {
            self.targets.push(target);
        }
        self.samples.entry((work, target)).or_default().push(sample);
    }

    pub(crate) fn held(&mut self, target: &'static str, bytes: usize) {
        self.held.insert(target, bytes);
    }

    /// Returns the aims that were missed, in words.
    pub(crate) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let mut hold = |what: &str, found: f64, most: f64, unit: &str| {
            if found.is_nan() || found > most {
                missed.push(format!("{what}: {found:.2}{unit}, at most {most}{unit}"));
            }
        };
        for (work, most) in AIMS {
            let what = format!("CPU per {} to the bare proxy's, {}", work.unit(), work.name());
            hold(&what, self.ratio(work, OURS), most, "");
        }
        let unseen = self.middle(Work::LargeUnseen, OURS, Sample::cpu_micros);
        hold("CPU per request, 100 KB not seen", unseen, MOST_MICROS_UNSEEN, " µs");
        hold(
            "first answer after the start",
            self.first_millis(),
            MOST_MILLIS_TO_FIRST_ANSWER,
            " ms",
        );
        hold("resident when idle", self.idle_megabytes(), MOST_MEGABYTES_IDLE, " MB");
        let (ours, bare) = (self.bytes_held(OURS), self.bytes_held(BARE));
        hold("memory of an open stream", ours, MOST_BYTES_HELD, " bytes");
        hold("memory of an open stream to the bare proxy's", ours / bare, MOST_HELD_TO_BARE, "");
        missed
    }

    fn bytes_held(&self, target: &str) -> f64 {
        self.held.get(target).map_or(f64::NAN, |bytes| count(*bytes))
    }

    fn middle(&self, work: Work, target: &'static str, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.get(&(work, target)).into_iter().flatten().map(of).collect())
    }

    /// Returns the median over the rounds of a target's CPU to the bare proxy's of the same round.
    fn ratio(&self, work: Work, target: &'static str) -> f64 {
        let of = |name| self.samples.get(&(work, name)).into_iter().flatten();
        let pairs = of(target).zip(of(BARE));
        median(pairs.map(|(one, bare)| one.cpu_micros() / bare.cpu_micros()).collect())
    }

    fn first_millis(&self) -> f64 {
        median(self.starts.iter().map(|start| start.first_answer.as_secs_f64() * 1e3).collect())
    }

    fn idle_megabytes(&self) -> f64 {
        let bytes = self.starts.iter().map(|start| start.resident_bytes).max().unwrap_or_default();
        count(usize::try_from(bytes).unwrap_or(usize::MAX)) / 1e6
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| work | target | per second | CPU, µs each | to bare | lowest..highest |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for work in Work::ALL {
            for target in &self.targets {
                let rate = self.middle(work, target, Sample::rate);
                write!(f, "| {} | {target} | {rate:.0} ", work.name())?;
                if *target == "direct" {
                    writeln!(f, "| | | |")?;
                    continue;
                }
                let cpu = self.middle(work, target, Sample::cpu_micros);
                let all = self.samples.get(&(work, *target)).into_iter().flatten();
                let all: Vec<f64> = all.map(Sample::cpu_micros).collect();
                let low = all.iter().copied().fold(f64::INFINITY, f64::min);
                let high = all.iter().copied().fold(0.0, f64::max);
                let ratio = self.ratio(work, target);
                writeln!(f, "| {cpu:.1} | {ratio:.2} | {low:.1}..{high:.1} |")?;
            }
        }
        writeln!(f, "\n| an event on its way, µs | median | p99 |\n|---|---|---|")?;
        for target in &self.targets {
            let half = self.middle(Work::Streams, target, |sample| sample.held_micros(0.5));
            let most = self.middle(Work::Streams, target, |sample| sample.held_micros(0.99));
            writeln!(f, "| {target} | {half:.0} | {most:.0} |")?;
        }
        writeln!(f, "\n| {STREAMS} open streams | bytes of memory each |\n|---|---|")?;
        for (target, bytes) in &self.held {
            writeln!(f, "| {target} | {bytes} |")?;
        }
        writeln!(f, "\nFirst answer {:.1} ms after the start.", self.first_millis())?;
        writeln!(f, "{:.1} MB resident when idle, before the first count.", self.idle_megabytes())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(place(values.len(), 0.5)).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
fn place(length: usize, share: f64) -> usize {
    (count(length.saturating_sub(1)) * share).round() as usize
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
