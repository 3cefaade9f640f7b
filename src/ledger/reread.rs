//! Reads again what lies in a file beside the store, also behind what is damaged there.
//!
//! # Invariants
//!
//! 1. A record that is whole is found, whatever stands in front of it; what is passed over is told by its size.
//! 2. A record of an earlier lap is none: its place is another.

use std::io;
use std::path::Path;

use memchr::memmem;

use super::ring::{Front, Ring, checksum, le_number, place_of};
use super::row::Row;
use super::spill::{LOW, RECORD_HEAD, Record, SLOTS, SPARE, Spill, name};

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The records, in order.
    pub(super) records: Vec<Record>,
    /// Where they end.
    pub(super) end: u64,
    /// How many bytes between them are no records.
    pub(super) damaged: u64,
}

/// The text of a record, and where it ends.
type Found = (Vec<u8>, u64);

/// The length and the checksum of a text.
type HeadText = (u64, u64);

/// A record, and where it begins and ends.
type Spotted = (Record, u64, u64);

/// What lies in the files of a folder.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// What was not stored yet.
    pub(super) rows: Vec<Row>,
    /// What may have been stored, as nothing tells what was.
    pub(super) doubtful: Vec<Row>,
    /// How many bytes between them are no records.
    pub(super) damaged: u64,
    /// The files that cannot be read, and why.
    pub(super) unread: Vec<String>,
}

impl Looked {
    /// Returns what lies in the files of `folder` that their instances have not stored yet, or had not when they
    /// ended: they are only read, by whoever holds them.
    pub(super) fn at(folder: &Path) -> Self {
        let mut looked = Self::default();
        for slot in 0..SLOTS {
            let path = folder.join(name(slot));
            if let Err(error) = looked.add(&path) {
                looked.unread.push(format!("{}: {error}", path.display()));
            }
        }
        looked
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let Some((mut ring, mut front)) = Ring::look(path)? else { return Ok(()) };
        for tries in 1.. {
            let Front::Known(head, missing) = front else { break };
            let mut spill = Spill::of(ring, head.run, head.start);
            let read = spill.find_tail().and_then(|()| spill.next(usize::MAX))?;
            ring = spill.ring;
            let damaged = read.damaged + missing;
            // Whoever holds it may have gone on over what was being read: that is no damage.
            let after = if damaged > 0 { ring.front()? } else { front };
            let is_still = after == front;
            front = after;
            if is_still || tries == LOOKS {
                self.rows.extend(read.records.into_iter().filter_map(Record::row));
                self.damaged += if is_still { damaged } else { 0 };
                return Ok(());
            }
        }
        let Some(mut spill) = Spill::recover(ring, 0)? else { return Err(other_form(path)) };
        let read = spill.next(usize::MAX)?;
        self.doubtful.extend(read.records.into_iter().filter_map(Record::row));
        self.damaged += read.damaged;
        Ok(())
    }
}

impl Spill {
    /// Takes in a file whose head cannot be read, for `run`: its latest lap, of which nothing tells what is stored.
    /// `None` where there is no record that is whole.
    ///
    /// # Errors
    ///
    /// Returns what the system said.
    pub(super) fn recover(ring: Ring, run: i64) -> io::Result<Option<Self>> {
        let mut spill = Self::of(ring, run, 0);
        let (mut latest, mut from) = (None, 0);
        while let Some((record, at, end)) = spill.find_of_any_lap(from)? {
            from = at % spill.ring.room() + (end - at);
            if latest.as_ref().is_none_or(|(_, last)| *last < end) {
                latest = Some((record.row().and_then(|row| row.key().0), end));
            }
        }
        let Some((last, end)) = latest else { return Ok(None) };
        // Entries leave so much free.
        let start = (end + SPARE).saturating_sub(spill.ring.room());
        Ok(Some(spill.doubted(last, start, end)))
    }

    /// Returns the next records, at most `most` of them.
    ///
    /// # Errors
    ///
    /// Returns what the system said; the same are next then.
    pub(super) fn next(&mut self, most: usize) -> io::Result<Read> {
        let (mut at, tail) = (self.read, self.tail);
        let mut read = Read {
            damaged: if self.read == self.start { self.lost } else { 0 },
            ..Read::default()
        };
        while at < tail && read.records.len() < most {
            let whole = self.text_at(at)?;
            let record = whole.as_ref().and_then(|(text, _)| Record::from_json(text));
            let end = match (whole, self.holes.get(&at)) {
                (Some((_, end)), _) | (None, Some(&end)) => end,
                (None, None) => self.find_whole(at + 1, tail)?.unwrap_or(tail),
            };
            if record.is_none() {
                self.holes.insert(at, end);
                read.damaged += if self.doubt.is_some() { 0 } else { end - at };
            }
            read.records.extend(record);
            at = end;
        }
        read.end = at;
        self.read = at;
        Ok(read)
    }

    /// Finds where the last record ends.
    pub(super) fn find_tail(&mut self) -> io::Result<()> {
        let mut at = self.tail;
        let limit = at + self.ring.room();
        loop {
            while let Some((_, end)) = self.text_at(at)? {
                at = end;
            }
            let Some(next) = self.find_whole(at + 1, limit)? else { break };
            // Somebody may be writing: what stands in front was there before.
            if self.text_at(at)?.is_none() {
                self.holes.insert(at, next);
                at = next;
            }
        }
        let torn = self.torn_at(at)?;
        if torn > 0 {
            self.holes.insert(at, at + torn);
        }
        self.tail = at + torn;
        Ok(())
    }

    /// Returns how many bytes at the end were to be a record, which is not whole; none where nothing was.
    fn torn_at(&mut self, at: u64) -> io::Result<u64> {
        Ok(match self.head_at(at)? {
            Some((length, _)) => RECORD_HEAD + length.min(LONG),
            None => 0,
        })
    }

    /// Returns the text of the record at `at` and where it ends; `None` where there is none that is whole.
    fn text_at(&mut self, at: u64) -> io::Result<Option<Found>> {
        let Some((length, sum)) = self.head_at(at)? else { return Ok(None) };
        let text = self.text(at + RECORD_HEAD, length)?;
        Ok((checksum(at, &text) == sum).then_some((text, at + RECORD_HEAD + length)))
    }

    /// Returns the length and the checksum of what was to be a record at `at`, if it has room.
    fn head_at(&mut self, at: u64) -> io::Result<Option<HeadText>> {
        let free = self.free_at(at);
        if free < RECORD_HEAD {
            return Ok(None);
        }
        let mut head = [0; 16];
        self.ring.read_at(at, &mut head)?;
        let number = |range| le_number(&head, range);
        let (length, place, sum) = (number(0..4), number(4..8), number(8..16));
        let fits = length > 0 && place == at & LOW && RECORD_HEAD + length <= free;
        Ok(fits.then_some((length, sum)))
    }

    fn text(&mut self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
        self.ring.read_at(at, &mut text)?;
        Ok(text)
    }

    /// Returns where the next record begins that is whole, from `from` on and before `limit`.
    fn find_whole(&mut self, mut from: u64, limit: u64) -> io::Result<Option<u64>> {
        let mut chunk = vec![0; CHUNK + 8];
        while from + RECORD_HEAD < limit {
            // The upper half of their places is the same in all that begin here.
            let end = limit.min((from | 0xffff) + 1);
            let some = usize::try_from(end - from).unwrap_or(CHUNK).min(CHUNK);
            let bytes = chunk.get_mut(..some + 8).unwrap_or_default();
            self.ring.read_at(from, bytes)?;
            let upper = [(from >> 16) & 0xff, (from >> 24) & 0xff];
            let upper = upper.map(|byte| u8::try_from(byte).unwrap_or_default());
            let find = |hit: usize| memmem::find(bytes.get(hit + 6..)?, &upper).map(|on| hit + on);
            let mut next = find(0);
            while let Some(hit) = next {
                let at = from + hit as u64;
                let is_one = le_number(bytes, hit + 4..hit + 8) == at & LOW
                    && le_number(bytes, hit..hit + 4) > 0
                    && at < end;
                if is_one && self.text_at(at)?.is_some() {
                    return Ok(Some(at));
                }
                next = find(hit + 1);
            }
            from += some as u64;
        }
        Ok(None)
    }

    /// Returns the next record of any lap that is whole, from that place of the ring on, with where it begins and ends.
    fn find_of_any_lap(&mut self, mut from: u64) -> io::Result<Option<Spotted>> {
        let (mut chunk, zeros, room) = (vec![0; CHUNK], [0; CHUNK], self.ring.room());
        while from + RECORD_HEAD < room {
            let some = usize::try_from(room - from).unwrap_or(CHUNK).min(CHUNK);
            let bytes = chunk.get_mut(..some).unwrap_or_default();
            self.ring.read_at(from, bytes)?;
            // Most of it was never written.
            let bytes = if zeros.starts_with(bytes) { &[] } else { &*bytes };
            for (head, place) in bytes.windows(4).zip(from..) {
                // Few lengths are so small, and none in a text.
                if matches!(head, [a, b, 0, 0] if a | b != 0)
                    && let Some(found) = self.record_of_any_lap(place)?
                {
                    return Ok(Some(found));
                }
            }
            // What begins at its end is looked at with the next.
            from += (some as u64).saturating_sub(3).max(1);
        }
        Ok(None)
    }

    /// Returns the record that is at this place of the ring, in whatever lap, and where it begins and ends.
    fn record_of_any_lap(&mut self, place: u64) -> io::Result<Option<Spotted>> {
        let mut head = [0; 16];
        self.ring.read_at(place, &mut head)?;
        let number = |range| le_number(&head, range);
        let (length, low, sum) = (number(0..4), number(4..8), number(8..16));
        let text = self.text(place + RECORD_HEAD, length)?;
        // With the right text, it tells where it was written.
        let at = place_of(sum, &text);
        if at & LOW != low || at % self.ring.room() != place {
            return Ok(None);
        }
        let end = at.saturating_add(RECORD_HEAD + length);
        Ok(Record::from_json(&text).map(|record| (record, at, end)))
    }
}

/// Says that a file was not made by this version.
pub(super) fn other_form(path: &Path) -> io::Error {
    let what = format!("{} is no file of this version's", path.display());
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// So many bytes are looked through at a time.
const CHUNK: usize = 64 << 10;
/// So long may the text of a record be whose length may be damaged.
const LONG: u64 = 64 << 10;
/// So often is a file looked at that somebody goes on writing.
const LOOKS: u32 = 4;
