//! A file of fixed size whose bytes behind a head are a ring.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::sqlite::{Identity, identity};

/// The file, held by this instance alone. Places are counted on and on, lap after lap.
#[derive(Debug)]
pub(super) struct Ring {
    file: File,
    path: PathBuf,
    /// Which file it is.
    identity: Identity,
    size: u64,
}

/// What its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    size: u64,
    /// Whose the file is.
    pub(super) run: i64,
    /// Where what is wanted still begins.
    pub(super) start: u64,
}

/// What stands where the head should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// Nothing was ever written.
    New,
    /// A head. So many bytes at the end of the file are missing.
    Known(Head, u64),
    /// Something else: a damaged head, or a file of another form.
    Unread,
}

/// The file, and how it begins.
pub(super) type Taken = (Ring, Front);

impl Ring {
    /// Takes the file, and what its head says: nothing, where it is new. One that is missing, or empty, is made if
    /// `size`, in bytes, is given; `None` where another instance has it, and where there is nothing in it.
    ///
    /// # Errors
    ///
    /// Returns what the system said.
    pub(super) fn take(path: &Path, size: Option<u64>) -> io::Result<Option<Taken>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(size.is_some()).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let identity = identity(path);
        let mut ring =
            Self { file, path: path.to_owned(), identity, size: size.unwrap_or_default() };
        match ring.front()? {
            Front::New if size.is_none() => Ok(None),
            Front::New => {
                ring.file.set_len(0)?;
                ring.fill()?;
                Ok(Some((ring, Front::New)))
            }
            Front::Known(head, missing) => {
                // What was cut off was not stored, but its room is to be there.
                ring.fill()?;
                Ok(Some((ring, Front::Known(head, missing))))
            }
            Front::Unread => Ok(Some((ring, Front::Unread))),
        }
    }

    /// Opens the file to read it beside whoever holds it; `None` where there is none, or nothing in it.
    ///
    /// # Errors
    ///
    /// Returns what the system said.
    pub(super) fn look(path: &Path) -> io::Result<Option<Taken>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut ring = Self { file, path: path.to_owned(), identity: identity(path), size: 0 };
        let front = ring.front()?;
        Ok((front != Front::New).then_some((ring, front)))
    }

    /// Reads how the file begins, and takes its size from there; of one whose head cannot be read, from the file.
    pub(super) fn front(&mut self) -> io::Result<Front> {
        let mut head = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        (&self.file).take(HEAD).read_to_end(&mut head)?;
        let length = self.file.metadata()?.len();
        Ok(match Head::parse(&head) {
            Some(head) => {
                self.size = head.size;
                Front::Known(head, head.size.saturating_sub(length))
            }
            // Nothing was ever written, or the making of it was cut short.
            None if head.iter().all(|byte| *byte == 0) && self.is_empty()? => Front::New,
            None => {
                self.size = length;
                Front::Unread
            }
        })
    }

    /// Returns where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how many bytes have room.
    pub(super) const fn room(&self) -> u64 {
        match self.size.saturating_sub(HEAD) {
            0 => 1,
            room => room,
        }
    }

    /// Returns an error if the file was deleted: what is written to it then is lost with this process.
    pub(super) fn still_there(&self) -> io::Result<()> {
        if identity(&self.path) == self.identity {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "its file was deleted"))
    }

    /// Lets what was written survive the machine.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Writes whose the file is, and where what is wanted still begins.
    pub(super) fn write_head(&mut self, run: i64, start: u64) -> io::Result<()> {
        let head = Head { size: self.size, run, start };
        self.write_all_at(&head.bytes(), 0)
    }

    /// Returns how many of so many bytes from `at` on lie before the end of the ring, and where in the file.
    fn before_end(&self, at: u64, length: usize) -> (usize, u64) {
        let place = at.checked_rem(self.room()).unwrap_or_default();
        let here = usize::try_from(self.room() - place).unwrap_or(usize::MAX).min(length);
        (here, HEAD + place)
    }

    /// Reads from a place on. What was cut off is zeros.
    pub(super) fn read_at(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let (here, place) = self.before_end(at, into.len());
        let (front, back) = into.split_at_mut(here);
        self.read_all_at(front, place)?;
        if back.is_empty() {
            return Ok(());
        }
        self.read_all_at(back, HEAD)
    }

    fn read_all_at(&mut self, mut into: &mut [u8], place: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(place))?;
        while !into.is_empty() {
            match self.file.read(into) {
                Ok(0) => {
                    into.fill(0);
                    break;
                }
                Ok(some) => into = into.split_at_mut(some).1,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes from a place on.
    pub(super) fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (here, place) = self.before_end(at, bytes.len());
        let (front, back) = bytes.split_at(here);
        self.write_all_at(front, place)?;
        if back.is_empty() {
            return Ok(());
        }
        self.write_all_at(back, HEAD)
    }

    /// Writes in one call to the system, where it has such a one.
    #[cfg(unix)]
    fn write_all_at(&mut self, bytes: &[u8], place: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, place)
    }

    #[cfg(not(unix))]
    fn write_all_at(&mut self, bytes: &[u8], place: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(place))?;
        self.file.write_all(bytes)
    }

    /// Tells whether there is nothing but zeros in it.
    fn is_empty(&mut self) -> io::Result<bool> {
        let (mut chunk, zeros) = (vec![0; 16 << 10], [0; 16 << 10]);
        self.file.seek(SeekFrom::Start(0))?;
        loop {
            let some = self.file.read(&mut chunk)?;
            if some == 0 {
                return Ok(true);
            }
            if !zeros.starts_with(chunk.get(..some).unwrap_or_default()) {
                return Ok(false);
            }
        }
    }

    /// Takes the room on the disk that the file has not yet. Where there is less, none is taken: the store needs it.
    fn fill(&mut self) -> io::Result<()> {
        let length = self.file.seek(SeekFrom::End(0))?;
        let left = self.size.saturating_sub(length);
        if left == 0 {
            return Ok(());
        }
        self.append_zeros(left).inspect_err(|_| {
            // What comes of it changes nothing about the error.
            drop(self.file.set_len(length));
        })
    }

    fn append_zeros(&self, mut left: u64) -> io::Result<()> {
        let zeros = [0; 16 << 10];
        while left > 0 {
            let some = left.min(zeros.len() as u64);
            let some = usize::try_from(some).unwrap_or(zeros.len());
            (&self.file).write_all(zeros.get(..some).unwrap_or(&zeros))?;
            left -= some as u64;
        }
        self.file.sync_data()
    }
}

impl Head {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.run.to_le_bytes());
        bytes.extend_from_slice(&self.start.to_le_bytes());
        let sum = checksum(self.start, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let size = le_number(bytes, 16..24);
        let run = i64::try_from(le_number(bytes, 24..32)).ok()?;
        let start = le_number(bytes, 32..40);
        let head = Self { size, run, start };
        bytes.starts_with(&head.bytes()).then_some(head)
    }
}

/// Returns the checksum of what stands at a place.
pub(super) fn checksum(at: u64, text: &[u8]) -> u64 {
    xxh3_64(text) ^ at.rotate_left(32)
}

/// Returns where a text stands that has this checksum.
pub(super) fn place_of(sum: u64, text: &[u8]) -> u64 {
    (sum ^ xxh3_64(text)).rotate_right(32)
}

/// Reads a number whose lowest byte comes first; zero where there are too few bytes.
pub(super) fn le_number(bytes: &[u8], range: std::ops::Range<usize>) -> u64 {
    let bytes = bytes.get(range).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// How a file of this form begins; the last byte is the version of the form.
const MAGIC: &[u8; 16] = b"sluicegate spil\x03";
/// So long it is.
pub(super) const HEAD: u64 = 64;
