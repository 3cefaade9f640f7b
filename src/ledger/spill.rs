//! A file of fixed size beside the store: entries are there at once, and go to the store in bulk.
//!
//! # What this module owns
//!
//! One of [`SLOTS`] files `sluicegate-N.spill` in a folder: the first that no other instance holds. Its room
//! is taken when it is made, so that a full disk finds it there. Behind its head it is a ring of bytes; places in it are
//! counted on and on, lap after lap. A record is its length, its place, a checksum of both and of its text, and a text
//! in JSON, which may go on at the beginning of the ring.
//!
//! # Invariants
//!
//! 1. What was written is read again in order, also after a crash, until it is [stored](Spill::stored_to).
//! 2. What is damaged hides nothing that is whole; how much it is is told ([`super::reread`]).
//! 3. A file of another form is left as it is.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::reread::other_form;
use super::ring::{Front, HEAD, Head, Ring, checksum};
use super::row::{Common, ENTRY, FACET, Kind, Row, Value, write_list};
use super::sqlite::make_folder;

/// The file, held by this instance alone.
#[derive(Debug)]
pub(super) struct Spill {
    pub(super) ring: Ring,
    /// Whose it is.
    run: i64,
    /// Where what the store has not begins, where the next record is read, and where the next is written.
    pub(super) start: u64,
    pub(super) read: u64,
    pub(super) tail: u64,
    /// Where what is between is no record begins and ends.
    pub(super) holes: BTreeMap<u64, u64>,
    /// How many bytes beside those are missing, of which nobody knows where.
    pub(super) lost: u64,
    /// Whether nothing tells what of it is stored; and whose it was then.
    pub(super) doubt: Option<Option<i64>>,
    /// Whether a record has to survive the machine.
    is_synced: bool,
}

/// What is kept until the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// An entry.
    Entry(Row),
    /// That a run is over: what it left open is lost.
    Over(i64),
}

/// Records as they are written.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// Where each of them ends.
    pub(super) ends: Vec<u64>,
}

impl Frames {
    /// Forgets what is written elsewhere by now.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl Spill {
    /// Takes the first file in `folder` that nobody holds for `run`, and makes it if it is missing, `size`
    /// bytes long. What it holds of earlier runs, and that the last one is over, is read first. Returns it with
    /// how many files others hold before it. One of another form is passed over.
    ///
    /// # Errors
    ///
    /// Returns what the system said.
    pub(super) fn take(folder: &Path, run: i64, size: u64) -> io::Result<(Self, usize)> {
        make_folder(folder)?;
        let mut others = 0;
        for slot in 0..SLOTS {
            let path = folder.join(name(slot));
            let taken = Ring::take(&path, Some(size)).and_then(|taken| match taken {
                Some((_, Front::Unread)) => Err(other_form(&path)),
                taken => Ok(taken),
            });
            match taken {
                Ok(Some((ring, front))) => {
                    return Self::open(ring, front, run).map(|spill| (spill, others));
                }
                Ok(None) => others += 1,
                Err(error) if is_passed_over(error.kind()) => {
                    let path = path.display();
                    tracing::warn!(%error, %path, "a file beside the store is left as it is");
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{SLOTS} instances keep their ledger here")))
    }

    /// Takes every file in `folder` that is there and that nobody holds, for `run`. What cannot be read is told and
    /// left as it is: it keeps none of the others.
    pub(super) fn take_left(folder: &Path, run: i64) -> Vec<Self> {
        let take = |path: &Path| match Ring::take(path, None)? {
            Some((ring, Front::Unread)) => {
                Self::recover(ring, run)?.map(Some).ok_or_else(|| other_form(path))
            }
            taken => taken.map(|(ring, front)| Self::open(ring, front, run)).transpose(),
        };
        let mut left = Vec::new();
        for slot in 0..SLOTS {
            let path = folder.join(name(slot));
            match take(&path) {
                Ok(spill) => left.extend(spill),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let path = path.display();
                    tracing::warn!(%error, %path, "what was kept beside the store is not booked yet");
                }
            }
        }
        left
    }

    /// Returns the file from `start` on, before anything of it is known.
    pub(super) fn of(ring: Ring, run: i64, start: u64) -> Self {
        let (holes, read, tail) = (BTreeMap::new(), start, start);
        Self { ring, run, start, read, tail, holes, lost: 0, doubt: None, is_synced: false }
    }

    /// Returns the file, of which nothing tells what is stored, from `start` to `tail`; it was of the run `last`.
    pub(super) fn doubted(mut self, last: Option<i64>, start: u64, tail: u64) -> Self {
        (self.start, self.read, self.tail) = (start, start, tail);
        (self.lost, self.doubt) = (HEAD, Some(last));
        let path = self.ring.path().display();
        tracing::warn!(%path, "the head of a file beside the store is damaged: what is whole in it is read");
        self
    }

    fn open(ring: Ring, front: Front, run: i64) -> io::Result<Self> {
        let Front::Known(Head { run: last, start, .. }, missing) = front else {
            let mut spill = Self::of(ring, run, 0);
            return spill.write_head().map(|()| spill);
        };
        let mut spill = Self::of(ring, run, start);
        spill.find_tail()?;
        spill.lost = missing.saturating_sub(spill.damaged());
        let (damaged, path) = (spill.damaged(), spill.ring.path().display());
        if damaged > 0 {
            tracing::warn!(damaged, %path, "bytes beside the store cannot be read, and what they told is not booked");
        }
        let mut frames = Frames::default();
        spill.frame(&mut frames, |text| text.extend_from_slice(last.to_string().as_bytes()));
        if spill.held() + frames.bytes.len() as u64 <= spill.ring.room() {
            spill.write(&frames)?;
        }
        spill.write_head()?;
        Ok(spill)
    }

    /// Lets records survive the machine from now on.
    pub(super) fn sync(mut self) -> Self {
        self.is_synced = true;
        self
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        self.ring.path()
    }

    /// Tells whether writing waits for the disk.
    pub(super) const fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Returns how many bytes of entries have room.
    pub(super) fn left(&self) -> u64 {
        self.ring.room().saturating_sub(self.held() + SPARE)
    }

    /// Returns how many bytes of records are in it that the store has not.
    pub(super) const fn held(&self) -> u64 {
        self.tail - self.start
    }

    /// Tells whether there are records that were not read.
    pub(super) const fn has_unread(&self) -> bool {
        self.read < self.tail
    }

    /// Writes down as many of `rows` as have room.
    pub(super) fn frames<'r>(&self, rows: impl Iterator<Item = &'r Row>) -> Frames {
        let mut frames = Frames::default();
        for row in rows {
            if self.add(row, &mut frames).is_none() {
                break;
            }
        }
        frames
    }

    /// Writes `row` down behind those of `into`, and returns where it will end; nothing where it has no room.
    pub(super) fn add(&self, row: &Row, into: &mut Frames) -> Option<u64> {
        let before = into.bytes.len();
        self.frame(into, |text| write_json(row, text));
        if into.bytes.len() as u64 > self.left() {
            into.bytes.truncate(before);
            into.ends.pop();
            return None;
        }
        into.ends.last().copied()
    }

    /// Writes `frames`, which were made since the last were written, behind all that is there.
    ///
    /// # Errors
    ///
    /// Returns what the system said; nothing counts as written then.
    pub(super) fn write(&mut self, frames: &Frames) -> io::Result<()> {
        self.ring.write_at(self.tail, &frames.bytes)?;
        if self.is_synced {
            self.ring.sync()?;
        }
        self.tail += frames.bytes.len() as u64;
        Ok(())
    }

    /// Returns how many of those bytes cannot be read.
    pub(super) fn damaged(&self) -> u64 {
        let holes: u64 = self.holes.iter().map(|(begin, end)| end - begin).sum();
        holes + self.lost
    }

    /// Counts all that is there as read: whoever wrote it has it still.
    pub(super) const fn skip(&mut self) {
        self.read = self.tail;
    }

    /// Reads again from where what the store has not begins.
    pub(super) const fn rewind(&mut self) {
        self.read = self.start;
    }

    /// Forgets all records until `end`: the store has them. What is no place of a record that is there changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// Returns what the system said, or that the file was deleted; they are still there then.
    pub(super) fn stored_to(&mut self, end: u64) -> io::Result<()> {
        self.ring.still_there()?;
        if !(self.start..=self.tail).contains(&end) {
            return Ok(());
        }
        let before = self.start;
        self.start = end;
        (self.lost, self.doubt) = (0, None);
        self.holes = self.holes.split_off(&end);
        if self.start == self.tail {
            // An empty one begins at its beginning: little of it is touched where little is written.
            let lap = self.start.div_ceil(self.ring.room()) * self.ring.room();
            (self.start, self.read, self.tail) = (lap, lap, lap);
        }
        self.write_head().inspect_err(|_| {
            if self.held() > 0 {
                self.start = before;
            }
        })
    }

    /// Returns how many bytes from `at` on may be of records that are not stored.
    pub(super) const fn free_at(&self, at: u64) -> u64 {
        self.ring.room().saturating_sub(at.saturating_sub(self.start))
    }

    fn write_head(&mut self) -> io::Result<()> {
        self.ring.write_head(self.run, self.start)
    }

    /// Adds a record that will be written behind those of `into`, its text as `write` adds it.
    fn frame(&self, into: &mut Frames, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = into.bytes.len();
        let at = self.tail + begin as u64;
        into.bytes.extend_from_slice(&[0; HEAD_LENGTH]);
        write(&mut into.bytes);
        let record = into.bytes.get_mut(begin..).unwrap_or_default();
        let Some((head, text)) = record.split_at_mut_checked(HEAD_LENGTH) else { return };
        let words = (text.len() as u64 & LOW) | (at & LOW) << 32;
        let (front, back) = head.split_at_mut(8);
        front.copy_from_slice(&words.to_le_bytes());
        back.copy_from_slice(&checksum(at, text).to_le_bytes());
        into.ends.push(self.tail + into.bytes.len() as u64);
    }
}

pub(super) fn name(slot: usize) -> String {
    format!("sluicegate-{slot}.spill")
}

impl Record {
    /// Returns whose it is.
    pub(super) fn run(&self) -> Option<i64> {
        match self {
            Self::Entry(row) => row.key().0,
            Self::Over(run) => Some(*run),
        }
    }

    /// Returns the entry, if it is one.
    pub(super) fn row(self) -> Option<Row> {
        match self {
            Self::Entry(row) => Some(row),
            Self::Over(_) => None,
        }
    }

    pub(super) fn from_json(text: &[u8]) -> Option<Self> {
        match serde_json::from_slice(text).ok()? {
            Json::Array(parts) => {
                let part = |at: usize| parts.get(at)?.as_array();
                let facet = from_json(part(0)?, &FACET)?;
                let mut entry = part(1)?.clone();
                // New columns come last: what an earlier version left has fewer.
                if entry.len() < ENTRY.len() {
                    entry.resize(ENTRY.len(), Json::Null);
                }
                let entry = from_json(&entry, &ENTRY)?;
                Some(Self::Entry(Row { facet: Common::new(facet).into(), entry: entry.into() }))
            }
            number => number.as_i64().map(Self::Over),
        }
    }
}

/// Writes the two lists of a row.
fn write_json(row: &Row, text: &mut Vec<u8>) {
    text.reserve(768);
    text.push(b'[');
    text.extend_from_slice(row.facet.json());
    text.push(b',');
    write_list(&row.entry, text);
    text.push(b']');
}

fn from_json(values: &[Json], columns: &[(&str, Kind)]) -> Option<Vec<Value>> {
    let value = |(json, (_, kind)): (&Json, &(&str, Kind))| match kind {
        Kind::Number => Value::Number(json.as_i64()),
        Kind::Text => Value::Text(json.as_str().map(Arc::from)),
    };
    (values.len() == columns.len()).then(|| values.iter().zip(columns).map(value).collect())
}

/// Tells whether another file may serve where this one cannot.
const fn is_passed_over(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, PermissionDenied};
    matches!(kind, InvalidData | IsADirectory | PermissionDenied)
}

/// Length, place and checksum.
pub(super) const RECORD_HEAD: u64 = HEAD_LENGTH as u64;
const HEAD_LENGTH: usize = 16;
/// What is written of a place.
pub(super) const LOW: u64 = 0xffff_ffff;
/// Room that entries leave to the ends of some hundred runs.
pub(super) const SPARE: u64 = 16 * 1024;
/// So many instances may share a folder.
pub(super) const SLOTS: usize = 16;

/// The usual size of a file that is made, in bytes.
pub const SPILL_BYTES: u64 = 16 << 20;
