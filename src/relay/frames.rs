//! Reads the messages of a websocket as its bytes pass.
//!
//! The format: RFC 6455 section 5, read 2026-11-22. Compression is not negotiated, so a text stands as it is.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Finds the texts in one direction of a websocket.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The beginning of a frame's head.
    head: Vec<u8>,
    /// What is left of the present frame's content.
    frame: Option<Frame>,
    /// The present message so far.
    message: Vec<u8>,
    /// Whether the present message is a text that is not too large to be read.
    is_read: bool,
    /// Whether something came that is no frame: nothing behind it can be read.
    is_broken: bool,
    /// Whether a frame came that closes the websocket.
    is_closed: bool,
    /// The mask of the frame of a message that came last.
    mask: Option<[u8; 4]>,
}

/// A frame under way.
#[derive(Debug, Clone, Copy)]
struct Frame {
    left: u64,
    mask: Option<[u8; 4]>,
    /// Bytes that came before, by which the mask is turned.
    turned: usize,
    is_last: bool,
    /// Whether it is a part of a message, not a ping or the like.
    is_data: bool,
}

/// What was taken of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// How many bytes.
    pub(super) size: usize,
    /// Where it stands behind them.
    pub(super) stand: Stand,
}

/// Where in a websocket's frames one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// In the head of a frame of which nothing is known yet.
    InHead,
    /// In a frame of a message.
    InMessage,
    /// In a ping or the like, or behind it.
    Control,
    /// Behind a frame of a message that is not over.
    Between,
    /// Behind a whole message.
    Said,
    /// Behind something that is no frame.
    Broken,
}

impl Stand {
    fn of(frame: Frame) -> Self {
        if frame.is_data { Self::InMessage } else { Self::Control }
    }
}

/// The largest text that is read: an answer with all it said, as it is told again at its end.
const MOST_TEXT: usize = 8 << 20;
/// The longest head of a frame.
const MOST_HEAD: usize = 14;

impl Frames {
    /// Tells whether a frame has ended and the next has not begun.
    pub(super) fn is_between(&self) -> bool {
        !self.is_broken && self.frame.is_none() && self.head.is_empty()
    }

    /// Tells whether a frame came that closes the websocket.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Takes the next piece, and calls `take` with each text that it ends.
    pub(super) fn read(&mut self, piece: &[u8], mut take: impl FnMut(&[u8])) {
        let mut rest = piece;
        while !rest.is_empty() && !self.is_broken {
            let Part { size, stand } = self.step(rest);
            rest = rest.get(size..).unwrap_or_default();
            if stand == Stand::Said
                && let Some(text) = self.take_text()
            {
                take(&text);
            }
        }
    }

    /// Takes the front of a piece: a part of a frame, up to its end at most. Nothing is taken once something came
    /// that is no frame.
    pub(super) fn step(&mut self, piece: &[u8]) -> Part {
        if self.is_broken {
            return Part { size: piece.len(), stand: Stand::Broken };
        }
        let rest = if self.frame.is_none() { self.begin(piece) } else { piece };
        let head = piece.len() - rest.len();
        let Some(frame) = &mut self.frame else {
            let stand = if self.is_broken { Stand::Broken } else { Stand::InHead };
            return Part { size: head, stand };
        };
        let length = usize::try_from(frame.left).unwrap_or(usize::MAX).min(rest.len());
        frame.left -= length as u64;
        let frame = *frame;
        self.add(rest.get(..length).unwrap_or_default(), frame);
        let stand = if frame.left > 0 { Stand::of(frame) } else { self.end(frame) };
        Part { size: head + length, stand }
    }

    /// Returns the text that has just been said; `None` where the message was none, or too large to be read.
    pub(super) fn take_text(&mut self) -> Option<Vec<u8>> {
        let message = std::mem::take(&mut self.message);
        std::mem::take(&mut self.is_read).then_some(message)
    }

    /// Tells whether the present message, if there is one, is a text that can be read.
    pub(super) const fn is_text(&self) -> bool {
        self.is_read
    }

    /// Returns the mask of the frame of a message that came last.
    pub(super) const fn mask(&self) -> Option<[u8; 4]> {
        self.mask
    }

    /// Reads the head of a frame; returns what is behind it.
    fn begin<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let before = self.head.len();
        let size = piece.len().min(MOST_HEAD - before.min(MOST_HEAD));
        self.head.extend_from_slice(piece.get(..size).unwrap_or_default());
        let mut cursor = Cursor::new(&self.head);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, left))) => {
                let length = usize::try_from(cursor.position()).unwrap_or(MOST_HEAD);
                self.head.clear();
                self.open(&header, left);
                piece.get(length.saturating_sub(before)..).unwrap_or_default()
            }
            Ok(None) if self.head.len() < MOST_HEAD => &[],
            Ok(None) | Err(_) => {
                self.is_broken = true;
                &[]
            }
        }
    }

    fn open(&mut self, header: &FrameHeader, left: u64) {
        let is_data = matches!(header.opcode, OpCode::Data(_));
        if let OpCode::Data(kind @ (Data::Text | Data::Binary | Data::Reserved(_))) = header.opcode
        {
            self.message.clear();
            self.is_read = kind == Data::Text;
        }
        self.is_closed |= header.opcode == OpCode::Control(Control::Close);
        if is_data {
            self.mask = header.mask;
        }
        let is_last = header.is_final;
        self.frame = Some(Frame { left, mask: header.mask, turned: 0, is_last, is_data });
    }

    fn add(&mut self, content: &[u8], frame: Frame) {
        if let Some(open) = &mut self.frame {
            open.turned = frame.turned + content.len();
        }
        if !frame.is_data || !self.is_read {
            return;
        }
        if self.message.len() + content.len() > MOST_TEXT {
            self.is_read = false;
            self.message = Vec::new();
            return;
        }
        match frame.mask {
            None => self.message.extend_from_slice(content),
            Some(mask) => {
                let mask = mask.iter().cycle().skip(frame.turned % mask.len());
                self.message.extend(content.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
            }
        }
    }

    fn end(&mut self, frame: Frame) -> Stand {
        self.frame = None;
        match (frame.is_data, frame.is_last) {
            (true, true) => Stand::Said,
            (true, false) => Stand::Between,
            (false, _) => Stand::Control,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a frame, masked where `mask` is given.
    fn frame(first: u8, content: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut bytes = vec![first];
        let masked = if mask.is_some() { 0x80 } else { 0 };
        match content.len() {
            size @ 0..126 => bytes.push(masked | u8::try_from(size).unwrap()),
            size => {
                bytes.push(masked | 126);
                bytes.extend_from_slice(&u16::try_from(size).unwrap().to_be_bytes());
            }
        }
        bytes.extend(mask.iter().flatten());
        let key = mask.unwrap_or_default();
        bytes.extend(content.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    fn texts(bytes: &[u8], size: usize) -> Vec<String> {
        let (mut frames, mut texts) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(size) {
            frames.read(piece, |text| texts.push(String::from_utf8(text.to_vec()).unwrap()));
        }
        texts
    }

    #[test]
    fn texts_are_found_however_the_bytes_are_cut() {
        let (long, mask) = ("x".repeat(5_000), Some([1, 200, 3, 77]));
        let bytes = [
            frame(0x81, b"hello", mask),
            frame(0x82, b"\x01\x02 binary", mask),
            frame(0x01, b"in ", mask),
            frame(0x89, b"ping", mask),
            frame(0x00, b"three ", mask),
            frame(0x80, b"parts", mask),
            frame(0x81, long.as_bytes(), None),
            frame(0x81, b"", None),
            frame(0x88, b"\x03\xe8", mask),
        ]
        .concat();
        let mut frames = Frames::default();
        frames.read(&bytes[..bytes.len() - 8], |_| {});
        assert!(!frames.is_closed());
        frames.read(&bytes[bytes.len() - 8..], |_| {});
        assert!(frames.is_closed() && frames.is_between());
        for size in [1, 2, 3, 13, 100, bytes.len()] {
            let found = texts(&bytes, size);
            assert_eq!(found, ["hello", "in three parts", long.as_str(), ""], "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_frame_ends_the_reading_and_nothing_else() {
        let bytes =
            [frame(0x81, b"a", None), vec![0x83, 0x7f, 0xff, 0xff], frame(0x81, b"b", None)];
        let found = texts(&bytes.concat(), 3);
        assert_eq!(found.first().map(String::as_str), Some("a"));
    }
}
