//! Puts together what is left of a piece, without copying while nothing is changed.

use std::ops::Range;

use bytes::Bytes;

use super::event::Edit;

/// What goes on to the client of one piece of a stream.
///
/// It is one run of the piece as long as that can be, and a buffer from then on: one frame in, at
/// most one frame out.
#[derive(Debug)]
pub(super) struct Output {
    piece: Bytes,
    run: Range<usize>,
    buffer: Vec<u8>,
}

impl Output {
    /// Creates an empty output that may keep parts of `piece`.
    pub(super) fn new(piece: Bytes) -> Self {
        Self { piece, run: 0..0, buffer: Vec::new() }
    }

    /// Adds a part of the piece; the parts come in order.
    pub(super) fn keep(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if self.run.is_empty() {
            self.run = range;
        } else if self.run.end == range.start {
            self.run.end = range.end;
        } else {
            self.flush();
            self.run = range;
        }
    }

    /// Adds an event that stands in the piece at `range`, as `edit` says.
    pub(super) fn edit(&mut self, range: Range<usize>, edit: Edit) {
        match edit {
            Edit::Keep => self.keep(range),
            Edit::Drop => {}
            Edit::Cut(cut) => {
                self.keep(range.start..range.start + cut.start);
                self.keep(range.start + cut.end..range.end);
            }
            Edit::Rewrite(event) => self.append(event),
        }
    }

    /// Adds an event that is not in the piece, as `edit` says.
    pub(super) fn push(&mut self, mut event: Vec<u8>, edit: Edit) {
        match edit {
            Edit::Keep => self.append(event),
            Edit::Drop => {}
            Edit::Cut(cut) => {
                event.drain(cut);
                self.append(event);
            }
            Edit::Rewrite(event) => self.append(event),
        }
    }

    /// Returns how many bytes were added.
    pub(super) fn len(&self) -> usize {
        self.buffer.len() + self.run.len()
    }

    /// Returns all that was added.
    pub(super) fn finish(mut self) -> Bytes {
        if self.buffer.is_empty() {
            return self.piece.slice(self.run);
        }
        self.flush();
        Bytes::from(self.buffer)
    }

    fn append(&mut self, bytes: Vec<u8>) {
        self.flush();
        if self.buffer.is_empty() {
            self.buffer = bytes;
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// Copies the run to the buffer.
    fn flush(&mut self) {
        let run = std::mem::replace(&mut self.run, 0..0);
        if run.is_empty() {
            return;
        }
        if self.buffer.is_empty() {
            self.buffer.reserve(self.piece.len());
        }
        self.buffer.extend_from_slice(self.piece.get(run).unwrap_or_default());
    }
}
