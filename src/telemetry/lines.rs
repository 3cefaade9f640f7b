//! Hands log lines to a thread of their own, so that no request waits for the terminal.
//!
//! # What this module owns
//!
//! A buffer that lines are appended to, and the thread that writes it out: within
//! [`GATHERING`] of the first line, many at once. At 8,000 requests a second that is one system call
//! for dozens of lines.
//!
//! # What this module does not do
//!
//! It drops no line: when [`MOST_BYTES`] are waiting, whoever logs writes them out itself.
//!
//! # Invariants
//!
//! 1. Lines are written whole and in order.
//! 2. [`flush`] returns after everything logged before it was written.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

static LINES: Lines = Lines { waiting: Mutex::new(Vec::new()), filled: Condvar::new() };

/// How long the first line waits for others.
const GATHERING: Duration = Duration::from_millis(5);

/// The most that waits to be written, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Where the fmt layer writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffered;

#[derive(Debug)]
struct Lines {
    waiting: Mutex<Vec<u8>>,
    filled: Condvar,
}

/// Starts the thread that writes; without it lines are still written by [`flush`] and when many
/// wait.
pub(super) fn start() {
    let started = std::thread::Builder::new().name("log".into()).spawn(|| {
        loop {
            LINES.wait_for_some();
            flush();
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "log lines come late: the system gives no thread");
    }
}

/// Writes out what is logged until now; call it before the process ends.
pub fn flush() {
    LINES.write_out(LINES.lock());
}

/// Adds a line, its end included.
pub(super) fn append(line: &[u8]) {
    LINES.append(line);
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until there are lines, and then a little longer for more.
    fn wait_for_some(&self) {
        let waiting = self.lock();
        let some = self.filled.wait_while(waiting, |waiting| waiting.is_empty());
        let some = some.unwrap_or_else(PoisonError::into_inner);
        // Only a full buffer ends this early.
        let full = |waiting: &mut Vec<u8>| waiting.len() < MOST_BYTES / 2;
        drop(self.filled.wait_timeout_while(some, GATHERING, full));
    }

    fn append(&self, line: &[u8]) {
        let mut waiting = self.lock();
        let first = waiting.is_empty();
        waiting.extend_from_slice(line);
        if waiting.len() >= MOST_BYTES {
            self.write_out(waiting);
        } else if first {
            drop(waiting);
            self.filled.notify_one();
        }
    }

    /// Writes what waits. The standard error's own lock is taken first, so that lines keep their order.
    fn write_out(&self, mut waiting: MutexGuard<'_, Vec<u8>>) {
        let lines = std::mem::take(&mut *waiting);
        let mut out = io::stderr().lock();
        drop(waiting);
        // There is nowhere to tell that standard error is gone.
        let _written = out.write_all(&lines);
    }
}

impl Write for Buffered {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.append(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Buffered {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
