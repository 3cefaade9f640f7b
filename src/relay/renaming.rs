//! Changes texts that a client sends on a websocket; all other frames go on byte for byte.
//!
//! Nobody can begin to answer a text before its end: holding it until then delays nothing.

use super::frames::{Frames, Part, Stand};

/// What a text is changed to; `None` where it stays as it is.
pub type Rename<'a> = &'a (dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync);

/// Holds each text until it is whole, and sends it on, changed or not.
pub(super) struct Renaming<'a> {
    rename: Rename<'a>,
    frames: Frames,
    /// The beginning of a frame of which nothing is known yet.
    head: Vec<u8>,
    /// The present message as it came, pings in its middle included.
    held: Vec<u8>,
    /// The pings and the like in its middle.
    controls: Vec<u8>,
    /// What becomes of the present message, once it has begun.
    fate: Option<Fate>,
    /// The texts that have gone on, as they were sent.
    said: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Held,
    /// It goes on as it comes: it is no text, or a very large one.
    Passed,
}

/// The largest message that is held.
const MOST_HELD: usize = 8 << 20;

impl<'a> Renaming<'a> {
    /// Creates one at the beginning of a websocket.
    pub(super) fn new(rename: Rename<'a>) -> Self {
        let (head, held, controls, said) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { rename, frames: Frames::default(), head, held, controls, fate: None, said }
    }

    /// Takes the next piece; returns what goes on now.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len());
        let mut rest = piece;
        while !rest.is_empty() {
            let Part { size, stand } = self.frames.step(rest);
            let (part, behind) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            rest = behind;
            self.head.extend_from_slice(part);
            self.take(stand, &mut out);
        }
        out
    }

    /// Returns what is held of a message that does not come to its end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.held);
        out.append(&mut self.head);
        out
    }

    /// Returns the texts that have gone on, as they were sent.
    pub(super) fn said(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.said)
    }

    /// Tells whether all that has gone on ends with a frame.
    pub(super) fn is_between(&self) -> bool {
        self.frames.is_between() || self.fate == Some(Fate::Held)
    }

    /// Tells whether a frame came that closes the websocket.
    pub(super) fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }

    fn take(&mut self, stand: Stand, out: &mut Vec<u8>) {
        match stand {
            Stand::InHead => {}
            Stand::Broken => {
                out.append(&mut self.held);
                out.append(&mut self.head);
                self.fate = None;
            }
            Stand::Control if self.fate == Some(Fate::Held) => {
                self.held.extend_from_slice(&self.head);
                self.controls.append(&mut self.head);
            }
            Stand::Control => out.append(&mut self.head),
            Stand::InMessage | Stand::Between => self.message(out),
            Stand::Said => {
                self.message(out);
                self.end(out);
            }
        }
    }

    fn message(&mut self, out: &mut Vec<u8>) {
        let usual = if self.frames.is_text() { Fate::Held } else { Fate::Passed };
        let fate = self.fate.get_or_insert(usual);
        if *fate == Fate::Held {
            self.held.append(&mut self.head);
            if self.held.len() <= MOST_HELD {
                return;
            }
            *fate = Fate::Passed;
            self.controls.clear();
            out.append(&mut self.held);
        }
        out.append(&mut self.head);
    }

    /// Sends on what was held of a message that is whole.
    fn end(&mut self, out: &mut Vec<u8>) {
        let text = self.frames.take_text();
        if self.fate.take() == Some(Fate::Held)
            && let Some(other) = text.as_deref().and_then(self.rename)
        {
            self.held.clear();
            out.append(&mut self.controls);
            frame(&other, self.frames.mask(), out);
            return self.said.push(other);
        }
        self.controls.clear();
        out.append(&mut self.held);
        self.said.extend(text);
    }
}

/// Writes a text as one frame (RFC 6455 section 5.2, read 2026-11-22).
fn frame(text: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(0x81);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(size @ 0..126), _) => out.push(masked | size),
        (_, Ok(size)) => {
            out.push(masked | 126);
            out.extend_from_slice(&size.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    out.extend(mask.iter().flatten());
    let key = mask.unwrap_or_default();
    out.extend(text.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 200, 3, 77];

    fn framed(first: u8, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(text, Some(MASK), &mut out);
        out[0] = first;
        out
    }

    /// Says `old` where `new` is said.
    fn renamed(text: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(text).ok()?;
        text.contains("old").then(|| text.replace("old", "renewed").into_bytes())
    }

    fn sent(bytes: &[u8], size: usize) -> (Vec<u8>, Vec<String>) {
        let mut renaming = Renaming::new(&renamed);
        let mut out: Vec<u8> = bytes.chunks(size).flat_map(|piece| renaming.feed(piece)).collect();
        let said = renaming.said().into_iter().map(|text| String::from_utf8(text).unwrap());
        let said = said.collect();
        out.append(&mut renaming.finish());
        (out, said)
    }

    #[test]
    fn what_is_not_renamed_goes_on_byte_for_byte_however_it_is_cut() {
        let bytes = [
            framed(0x81, b"hello"),
            framed(0x82, b"\x01\x02 binary with old"),
            framed(0x01, b"in "),
            framed(0x89, b"ping"),
            framed(0x80, b"parts"),
            framed(0x81, "x".repeat(70_000).as_bytes()),
            framed(0x81, b""),
            framed(0xc1, b"packed"),
            framed(0x88, b"\x03\xe8"),
            framed(0x81, b"not whole")[..9].to_vec(),
        ]
        .concat();
        for size in [1, 2, 3, 13, 100, 16_384, bytes.len()] {
            let (out, said) = sent(&bytes, size);
            assert!(out == bytes, "in pieces of {size}");
            assert_eq!(said[..2], ["hello", "in parts"], "in pieces of {size}");
        }
    }

    #[test]
    fn a_text_that_is_renamed_is_one_frame_behind_the_pings_in_it() {
        let bytes = [
            framed(0x81, b"an old one"),
            framed(0x01, b"in o"),
            framed(0x89, b"ping"),
            framed(0x80, b"ld parts"),
            framed(0x81, b"as it is"),
        ];
        let expected = [
            framed(0x81, b"an renewed one"),
            framed(0x89, b"ping"),
            framed(0x81, b"in renewed parts"),
            framed(0x81, b"as it is"),
        ];
        for size in [1, 2, 3, 7, 1_000] {
            let (out, said) = sent(&bytes.concat(), size);
            assert_eq!(out, expected.concat(), "in pieces of {size}");
            assert_eq!(said, ["an renewed one", "in renewed parts", "as it is"]);
        }
    }

    #[test]
    fn what_is_very_large_or_no_frame_is_not_held() {
        let large = framed(0x81, &vec![b'x'; MOST_HELD + 10]);
        let bytes = [large, framed(0x81, b"old"), vec![0x83, 0x7f, 0xff, 0xff, 1, 2, 3]].concat();
        let (out, _) = sent(&bytes, 65_536);
        let expected =
            [&bytes[..bytes.len() - 16], &framed(0x81, b"renewed")[..], &bytes[bytes.len() - 7..]];
        assert!(out == expected.concat());
    }
}
