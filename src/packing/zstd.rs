//! Unpacks zstd block by block: the decoder wants whole ones.

use std::io::{self, Write};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Sink, Unpack};

/// Unpacks what is written into it.
pub(super) struct Zstd {
    decoder: FrameDecoder,
    /// What was written and is no whole block yet.
    pending: Vec<u8>,
    /// The frame under way: whether a checksum follows its last block.
    frame: Option<Frame>,
    sink: Sink,
}

#[derive(Clone, Copy)]
struct Frame {
    has_checksum: bool,
}

impl Zstd {
    pub(super) fn new(sink: Sink) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(LARGEST_WINDOW);
        Self { decoder, pending: Vec::new(), frame: None, sink }
    }

    /// Reads the head of a frame or a block; returns how much of what is pending that took, nothing
    /// where more is needed.
    fn step(&mut self) -> io::Result<usize> {
        let Some(frame) = self.frame else { return self.begin() };
        let Some(size) = size_of_block(&self.pending, frame)? else { return Ok(0) };
        let Some(mut block) = self.pending.get(..size) else { return Ok(0) };
        let one = BlockDecodingStrategy::UptoBlocks(1);
        self.decoder.decode_blocks(&mut block, one).map_err(|_| broken())?;
        // What later blocks may repeat stays in the decoder until the frame ends.
        if let Some(unpacked) = self.decoder.collect() {
            self.sink.write_all(&unpacked)?;
        }
        if self.decoder.is_finished() {
            self.frame = None;
        }
        Ok(size)
    }

    fn begin(&mut self) -> io::Result<usize> {
        let mut rest = self.pending.as_slice();
        match self.decoder.init(&mut rest) {
            Ok(()) => {
                let descriptor = self.pending.get(MAGIC_LEN).copied().unwrap_or_default();
                self.frame = Some(Frame { has_checksum: descriptor & CHECKSUM != 0 });
                Ok(self.pending.len() - rest.len())
            }
            Err(_) if self.pending.len() < LONGEST_HEAD => Ok(0),
            Err(_) => Err(broken()),
        }
    }
}

impl Unpack for Zstd {
    fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }
}

impl Write for Zstd {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(piece);
        loop {
            match self.step()? {
                0 => return Ok(piece.len()),
                taken => drop(self.pending.drain(..taken)),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the length of the block that `pending` begins with, its head and a checksum behind it
/// included; `None` while its head is not there (RFC 8878 section 3.1.1.2, read 2026-11-22).
fn size_of_block(pending: &[u8], frame: Frame) -> io::Result<Option<usize>> {
    let Some((&[low, middle, high], _)) = pending.split_first_chunk() else { return Ok(None) };
    let head = u32::from_le_bytes([low, middle, high, 0]);
    let size = usize::try_from(head >> 3).unwrap_or(usize::MAX);
    let content = match head >> 1 & 3 {
        REPEATED => 1,
        _ if size > LARGEST_BLOCK => return Err(broken()),
        _ => size,
    };
    let is_last = head & 1 == 1;
    let checksum = if is_last && frame.has_checksum { 4 } else { 0 };
    Ok(Some(3 + content + checksum))
}

fn broken() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The most that HTTP allows (RFC 9659 section 3, read 2026-11-22).
const LARGEST_WINDOW: u64 = 8 << 20;
const LARGEST_BLOCK: usize = 128 * 1024;
const LONGEST_HEAD: usize = 18;
const MAGIC_LEN: usize = 4;
/// The bit of a frame's descriptor that tells of a checksum.
const CHECKSUM: u8 = 0b100;
/// The type of a block that is one byte, many times.
const REPEATED: u32 = 1;
