//! A file of fixed size for entries that cannot be stored at once.
//!
//! # What this module owns
//!
//! One of [`SLOTS`] files `sluicegate-N.spill` in a folder: the first that no other instance holds. Its room
//! is taken when it is made, so that a full disk finds it there. A record is its length, the generation of
//! the file, a checksum and a text in JSON.
//!
//! # Invariants
//!
//! 1. What was appended is read again in order, also after a crash, until it is [cleared](Spill::clear).
//! 2. A record that was not written whole ends the file: none is read behind it.
//! 3. A file of another form is left as it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use xxhash_rust::xxh3::xxh3_64;

use super::row::{ENTRY, FACET, Kind, Row, Value};
use super::sqlite::{Identity, identity, make_folder};

/// The file, held by this instance alone.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    path: PathBuf,
    /// Which file it is.
    identity: Identity,
    size: u64,
    generation: u32,
    /// Where the next record is written, and where the next is read.
    tail: u64,
    read: u64,
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

impl Spill {
    /// Takes the first file in `folder` that nobody holds for `run`, and makes it if it is missing, `size`
    /// bytes long. What it holds of earlier runs, and that the last one is over, is read first. Returns it with
    /// how many files others hold before it.
    ///
    /// # Errors
    ///
    /// Returns what the system said.
    pub(super) fn take(folder: &Path, run: i64, size: u64) -> io::Result<(Self, usize)> {
        make_folder(folder)?;
        for slot in 0..SLOTS {
            let path = folder.join(format!("sluicegate-{slot}.spill"));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(&path)?;
            match file.try_lock() {
                Ok(()) => return Self::open(file, path, run, size).map(|spill| (spill, slot)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{SLOTS} instances keep their ledger here")))
    }

    fn open(file: File, path: PathBuf, run: i64, size: u64) -> io::Result<Self> {
        let (tail, read) = (HEAD, HEAD);
        let identity = identity(&path);
        let mut spill =
            Self { file, path, identity, size, generation: 1, tail, read, is_synced: false };
        let mut head = Vec::new();
        (&spill.file).take(HEAD).read_to_end(&mut head)?;
        let last = match Head::parse(&head) {
            Some(head) => {
                spill.size = head.size;
                spill.generation = head.generation;
                spill.find_tail()?;
                Some(head.run)
            }
            // Nothing was ever written, or the making of it was cut short.
            None if head.iter().all(|byte| *byte == 0) => {
                spill.fill()?;
                None
            }
            None => {
                let what = format!("{} is no file of this version's", spill.path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        };
        if let Some(last) = last {
            spill.append_within(&[Record::Over(last)], spill.size.saturating_sub(spill.tail))?;
        }
        spill.write_head(run)?;
        Ok(spill)
    }

    /// Lets records survive the machine from now on.
    pub(super) fn sync(mut self) -> Self {
        self.is_synced = true;
        self
    }

    /// Returns how many bytes of entries have room.
    pub(super) fn left(&self) -> u64 {
        self.size.saturating_sub(self.tail + SPARE)
    }

    /// Returns how many bytes of records are in it.
    pub(super) fn held(&self) -> u64 {
        self.tail - HEAD
    }

    /// Tells whether there are records that were not read.
    pub(super) fn has_unread(&self) -> bool {
        self.read < self.tail
    }

    /// Appends as many of `records` as have room, and returns how many that are.
    ///
    /// # Errors
    ///
    /// Returns what the system said; nothing counts as appended then.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<usize> {
        self.append_within(records, self.left())
    }

    fn append_within(&mut self, records: &[Record], left: u64) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let mut taken = 0;
        for record in records {
            let text = record.to_json();
            let length = text.len() as u64 + RECORD_HEAD;
            if bytes.len() as u64 + length > left {
                break;
            }
            self.frame(&text, &mut bytes);
            taken += 1;
        }
        if taken > 0 {
            if identity(&self.path) != self.identity {
                return Err(io::Error::new(io::ErrorKind::NotFound, "its file was deleted"));
            }
            self.file.seek(SeekFrom::Start(self.tail))?;
            self.file.write_all(&bytes)?;
            if self.is_synced {
                self.file.sync_data()?;
            }
            self.tail += bytes.len() as u64;
        }
        Ok(taken)
    }

    /// Returns the next records, at most `most` of them.
    ///
    /// # Errors
    ///
    /// Returns what the system said; the same are next then.
    pub(super) fn next(&mut self, most: usize) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut at = self.read;
        while at < self.tail && records.len() < most {
            let Some((text, end)) = self.record_at(at)? else { break };
            // What has the right checksum is what was written.
            records.extend(Record::from_json(&text));
            at = end;
        }
        if records.is_empty() {
            at = self.tail;
        }
        self.read = at;
        Ok(records)
    }

    /// Reads from the beginning again: what was read was not stored.
    pub(super) fn rewind(&mut self) {
        self.read = HEAD;
    }

    /// Forgets all records: they were read, and the store has them.
    ///
    /// # Errors
    ///
    /// Returns what the system said; they are still there then.
    pub(super) fn clear(&mut self, run: i64) -> io::Result<()> {
        self.generation = self.generation.wrapping_add(1);
        self.write_head(run)?;
        (self.tail, self.read) = (HEAD, HEAD);
        Ok(())
    }

    /// Takes the room on the disk.
    fn fill(&mut self) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        self.file.seek(SeekFrom::Start(0))?;
        let mut left = self.size;
        while left > 0 {
            let some = left.min(zeros.len() as u64);
            let some = usize::try_from(some).unwrap_or(zeros.len());
            self.file.write_all(zeros.get(..some).unwrap_or(&zeros))?;
            left -= some as u64;
        }
        self.file.sync_data()
    }

    fn find_tail(&mut self) -> io::Result<()> {
        while let Some((_, end)) = self.record_at(self.tail)? {
            self.tail = end;
        }
        Ok(())
    }

    /// Returns the text of the record at `at` and where it ends; `None` where there is none.
    fn record_at(&mut self, at: u64) -> io::Result<Option<Found>> {
        if at + RECORD_HEAD > self.size {
            return Ok(None);
        }
        let mut head = [0; 16];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut head)?;
        let number = |range| le_number(&head, range);
        let (length, generation, sum) = (number(0..4), number(4..8), number(8..16));
        let end = at + RECORD_HEAD + length;
        if length == 0 || generation != u64::from(self.generation) || end > self.size {
            return Ok(None);
        }
        let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
        self.file.read_exact(&mut text)?;
        Ok((checksum(self.generation, &text) == sum).then_some((text, end)))
    }

    fn frame(&self, text: &[u8], into: &mut Vec<u8>) {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        into.extend_from_slice(&length.to_le_bytes());
        into.extend_from_slice(&self.generation.to_le_bytes());
        into.extend_from_slice(&checksum(self.generation, text).to_le_bytes());
        into.extend_from_slice(text);
    }

    fn write_head(&mut self, run: i64) -> io::Result<()> {
        let head = Head { size: self.size, generation: self.generation, run };
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&head.bytes())?;
        if self.is_synced { self.file.sync_data() } else { Ok(()) }
    }
}

/// The text of a record, and where it ends.
type Found = (Vec<u8>, u64);

/// What stands in front of the records.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    size: u64,
    generation: u32,
    /// Whose the file is.
    run: i64,
}

impl Head {
    fn bytes(&self) -> Vec<u8> {
        self.bytes_after(MAGIC)
    }

    fn bytes_after(&self, magic: &[u8; 16]) -> Vec<u8> {
        let mut bytes = magic.to_vec();
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.run.to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        let sum = checksum(self.generation, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let size = le_number(bytes, 16..24);
        let run = i64::try_from(le_number(bytes, 24..32)).ok()?;
        let generation = u32::try_from(le_number(bytes, 32..36)).ok()?;
        let head = Self { size, generation, run };
        let begins = |magic| bytes.starts_with(&head.bytes_after(magic));
        [MAGIC, FIRST_MAGIC].into_iter().any(begins).then_some(head)
    }
}

impl Record {
    fn to_json(&self) -> Vec<u8> {
        let list = |values: &[Value]| Json::Array(values.iter().map(to_json).collect());
        let json = match self {
            Self::Entry(row) => Json::Array(vec![list(&row.facet), list(&row.entry)]),
            Self::Over(run) => Json::from(*run),
        };
        json.to_string().into_bytes()
    }

    fn from_json(text: &[u8]) -> Option<Self> {
        match serde_json::from_slice(text).ok()? {
            Json::Array(parts) => {
                let part = |at: usize| parts.get(at)?.as_array();
                let facet = from_json(part(0)?, &FACET)?;
                let mut entry = part(1)?.clone();
                if entry.len() >= FIRST_COLUMNS && entry.len() < ENTRY.len() {
                    entry.resize(ENTRY.len(), Json::Null);
                }
                let entry = from_json(&entry, &ENTRY)?;
                Some(Self::Entry(Row { facet: facet.into(), entry: entry.into() }))
            }
            number => number.as_i64().map(Self::Over),
        }
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Number(number) => number.map_or(Json::Null, Json::from),
        Value::Text(text) => text.as_deref().map_or(Json::Null, Json::from),
    }
}

fn from_json(values: &[Json], columns: &[(&str, Kind)]) -> Option<Vec<Value>> {
    let value = |(json, (_, kind)): (&Json, &(&str, Kind))| match kind {
        Kind::Number => Value::Number(json.as_i64()),
        Kind::Text => Value::Text(json.as_str().map(Arc::from)),
    };
    (values.len() == columns.len()).then(|| values.iter().zip(columns).map(value).collect())
}

fn checksum(generation: u32, text: &[u8]) -> u64 {
    xxh3_64(text) ^ u64::from(generation).rotate_left(32)
}

/// Reads a number whose lowest byte comes first; zero where there are too few bytes.
fn le_number(bytes: &[u8], range: std::ops::Range<usize>) -> u64 {
    let bytes = bytes.get(range).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// How a file of this form begins; the last byte is the version of the form. An older program would forget entries
/// that have more columns than it knows: it is to leave the file alone.
const MAGIC: &[u8; 16] = b"sluicegate spil\x02";
/// How a file begins whose entries have only the first [`FIRST_COLUMNS`] columns.
const FIRST_MAGIC: &[u8; 16] = b"sluicegate spil\x01";
const FIRST_COLUMNS: usize = 35;
const HEAD: u64 = 64;
const RECORD_HEAD: u64 = 16;
/// Room that entries leave to the ends of some hundred runs.
const SPARE: u64 = 16 * 1024;
/// So many instances may share a folder.
const SLOTS: usize = 16;

/// The usual size of a file that is made, in bytes.
pub const SPILL_BYTES: u64 = 16 << 20;
