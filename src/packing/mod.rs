//! Reads compressed bodies beside their untouched bytes.
//!
//! # What this module owns
//!
//! [`Coding`], the ways of HTTP to compress a body (RFC 9110 section 8.4.1, RFC 7932, RFC 8878; read
//! 2026-11-22), and [`Unpacker`], which reads one as it comes.
//!
//! # What this module does not do
//!
//! It compresses nothing: what travels is what was sent. A body of several codings, or of one that is
//! not named here, is not read.
//!
//! # Invariants
//!
//! 1. No more is unpacked than there is room for, however small the packed body is.
//! 2. Whatever the bytes are, nothing panics.

mod zstd;

use std::fmt;
use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};
use thiserror::Error;

use self::zstd::Zstd;

/// A way to compress a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`.
    Gzip,
    /// `deflate`: zlib's format, or the bare one that some send under this name.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

/// How a body is packed, as its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// In a way that can be read.
    Packed(Coding),
    /// In another way.
    Unknown,
}

/// Why a body cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnpackError {
    /// It would become larger than there is room for.
    #[error("it unpacks to more than {room} bytes")]
    TooLarge {
        /// How much room there was.
        room: usize,
    },
    /// It is not what its head says.
    #[error("it is not packed as `content-encoding` says")]
    Broken,
}

impl Packing {
    /// Returns how the body of a message with these headers is packed.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut codings = headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
        match (codings.next(), codings.next()) {
            (None, _) => Self::Plain,
            (Some(name), None) => Coding::of(name).map_or(Self::Unknown, Self::Packed),
            (Some(_), Some(_)) => Self::Unknown,
        }
    }
}

impl Coding {
    fn of(name: &str) -> Option<Self> {
        const NAMES: [(&str, Coding); 5] = [
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("deflate", Coding::Deflate),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
        ];
        let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, coding)| *coding)
    }

    /// Returns what `packed` holds, if that is no more than `room` bytes. Of a body that ends too
    /// early it is what there is.
    ///
    /// # Errors
    ///
    /// Every [`UnpackError`].
    pub fn unpack(self, packed: &[u8], room: usize) -> Result<Bytes, UnpackError> {
        Unpacker::new(self).feed(packed, room)
    }
}

/// Unpacks a body as it comes.
pub struct Unpacker(State);

enum State {
    /// The beginning of a body that does not tell yet which of two formats it has.
    Deflate(Vec<u8>),
    Going(Box<dyn Unpack>),
    /// It came to what cannot be read.
    Over,
}

/// What unpacks whatever is written into it.
trait Unpack: Write + Send {
    /// Returns where it writes to.
    fn sink(&mut self) -> &mut Sink;
}

impl Unpacker {
    /// Creates one at the beginning of a body.
    pub fn new(coding: Coding) -> Self {
        let sink = Sink::default();
        Self(match coding {
            Coding::Gzip => State::Going(Box::new(MultiGzDecoder::new(sink))),
            Coding::Deflate => State::Deflate(Vec::new()),
            Coding::Brotli => State::Going(Box::new(DecompressorWriter::new(sink, BUFFER))),
            Coding::Zstd => State::Going(Box::new(Zstd::new(sink))),
        })
    }

    /// Tells whether it came to what it cannot read.
    pub fn is_over(&self) -> bool {
        matches!(self.0, State::Over)
    }

    /// Takes the next piece and returns what it brings to light, if there is `room` for it.
    ///
    /// # Errors
    ///
    /// Every [`UnpackError`]; nothing more can be read then.
    pub fn feed(&mut self, piece: &[u8], room: usize) -> Result<Bytes, UnpackError> {
        let unpacked = match &mut self.0 {
            State::Over => return Err(UnpackError::Broken),
            State::Going(going) => write(&mut **going, piece, room),
            State::Deflate(start) => {
                start.extend_from_slice(piece);
                let Some(mut going) = of_deflate(start) else { return Ok(Bytes::new()) };
                let unpacked = write(&mut *going, start, room);
                self.0 = State::Going(going);
                unpacked
            }
        };
        if unpacked.is_err() {
            self.0 = State::Over;
        }
        unpacked
    }
}

fn write(unpack: &mut dyn Unpack, piece: &[u8], room: usize) -> Result<Bytes, UnpackError> {
    unpack.sink().room = room;
    let written = unpack.write_all(piece).and_then(|()| unpack.flush());
    let sink = unpack.sink();
    match written {
        Ok(()) => Ok(Bytes::from(std::mem::take(&mut sink.unpacked))),
        Err(_) if sink.is_full => Err(UnpackError::TooLarge { room }),
        Err(_) => Err(UnpackError::Broken),
    }
}

/// Tells zlib's format by its first two bytes (RFC 1950 section 2.2) from the bare one; `None` while
/// they are not there.
fn of_deflate(start: &[u8]) -> Option<Box<dyn Unpack>> {
    let (&[first, second], _) = start.split_first_chunk()?;
    let is_zlib = first & 0x0f == 8 && u16::from_be_bytes([first, second]) % 31 == 0;
    let sink = Sink::default();
    Some(if is_zlib {
        Box::new(ZlibDecoder::new(sink))
    } else {
        Box::new(DeflateDecoder::new(sink))
    })
}

impl Unpack for MultiGzDecoder<Sink> {
    fn sink(&mut self) -> &mut Sink {
        self.get_mut()
    }
}

impl Unpack for ZlibDecoder<Sink> {
    fn sink(&mut self) -> &mut Sink {
        self.get_mut()
    }
}

impl Unpack for DeflateDecoder<Sink> {
    fn sink(&mut self) -> &mut Sink {
        self.get_mut()
    }
}

impl Unpack for DecompressorWriter<Sink> {
    fn sink(&mut self) -> &mut Sink {
        self.get_mut()
    }
}

/// What was unpacked and not taken yet.
#[derive(Debug, Default)]
struct Sink {
    unpacked: Vec<u8>,
    /// How much it may hold.
    room: usize,
    /// Whether there was more.
    is_full: bool,
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.is_full |= piece.len() > self.room.saturating_sub(self.unpacked.len());
        if self.is_full {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.unpacked.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

/// How much brotli hands on at a time.
const BUFFER: usize = 16 * 1024;

#[cfg(test)]
mod tests;
