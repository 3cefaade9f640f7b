//! What operations cost: the CPU time of this thread, and instructions where valgrind is installed.
//!
//! Wall time would measure who else uses the machine. The kernel books CPU time on the thread that used it; what others
//! do to caches, clock and the core's other half only makes it longer, so it is measured several times and the
//! least of the medians over many batches counts.
//! Instructions are the same on every run. They are counted by running the bench once more under valgrind, as
//! machines in the cloud seldom let a program read the processor's own counters.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Tells the time by which costs are measured.
pub(crate) type Clock = fn() -> Duration;

/// Stands still, for runs whose instructions are counted: valgrind does not let the other one be read.
pub(crate) const STILL: Clock = || Duration::ZERO;

/// Returns the CPU time that this thread has used.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// Returns the median of the batches, in nanoseconds for each of a batch's `operations`.
pub(crate) fn median(mut batches: Vec<Duration>, operations: usize) -> f64 {
    batches.sort_unstable();
    let middle = batches.get(batches.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64() * 1e9 / count(operations)
}

/// Lowers what is known to what was found; so that a busy second spoils nothing, the rounds are spread over the
/// whole bench.
pub(crate) fn lower<const N: usize>(known: &mut [f64; N], found: [f64; N]) {
    for (known, found) in known.iter_mut().zip(found) {
        *known = known.min(found);
    }
}

/// How often everything is measured.
pub(crate) const ROUNDS: usize = 5;

/// Returns how many instructions one operation takes: the difference between two runs of this program, with the
/// arguments `--count`, `case` and a number of operations. Nothing where valgrind cannot count them.
pub(crate) fn instructions(case: &str) -> Option<f64> {
    let [few, many] = [2_000, 6_000].map(|operations| executed(case, operations));
    let (few, many) = (few?, many?);
    Some((many - few) / 4_000.0)
}

fn executed(case: &str, operations: usize) -> Option<f64> {
    let this = std::env::current_exe().ok()?;
    let mut counting = Command::new("valgrind");
    counting.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    counting.arg(this).args(["--count", case, &operations.to_string()]).stdout(Stdio::null());
    let output = counting.output().ok().filter(|output| output.status.success())?;
    let said = String::from_utf8(output.stderr).ok()?;
    let line = said.lines().find(|line| line.contains("I   refs:"))?;
    let digits: String = line.rsplit(':').next()?.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Returns the case and the number of operations of a run that only is counted.
pub(crate) fn counted() -> Option<(String, usize)> {
    let mut args = std::env::args().skip_while(|arg| arg != "--count").skip(1);
    Some((args.next()?, args.next()?.parse().ok()?))
}

/// Writes a number of instructions.
pub(crate) fn written(instructions: Option<f64>) -> String {
    instructions
        .map_or_else(|| "no valgrind".to_owned(), |count| format!("{count:.0} instructions"))
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
