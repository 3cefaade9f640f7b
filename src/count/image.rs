//! Finds out how large an image in a prompt is.

use crate::call::Image;
use crate::catalog::{Detail, ImageRule};

use super::Method;

/// Returns the tokens of an image and how they were counted.
///
/// The size stands in the first bytes of a `data:` URL. What the provider fetches itself is taken
/// for a square of 1024 pixels.
pub(super) fn count(image: &Image<'_>, rule: Option<ImageRule>) -> (u64, Method) {
    let detail = image.detail.map_or(Detail::Auto, |word| Detail::of(&word.decode()));
    let known = rule.is_some();
    let rule = rule.unwrap_or(USUAL);
    if known && detail == Detail::Low && matches!(rule, ImageRule::Tiles { .. }) {
        return (rule.tokens(1, 1, Detail::Low), Method::Exact);
    }
    match image.url.and_then(|url| size(&url.decode())) {
        Some((width, height)) if known => (rule.tokens(width, height, detail), Method::Exact),
        Some((width, height)) => (rule.tokens(width, height, detail), Method::Assumed),
        None => (rule.assumed_tokens(detail), Method::Assumed),
    }
}

/// Returns width and height of the image in a `data:` URL.
fn size(url: &str) -> Option<(u32, u32)> {
    let (kind, encoded) = url.strip_prefix("data:")?.split_once(',')?;
    if !kind.ends_with(";base64") {
        return None;
    }
    // Most formats tell it at once; a JPEG may have a camera's remarks and a preview before.
    [1024, 64 * 1024, usize::MAX].into_iter().find_map(|most| {
        let size = imagesize::blob_size(&decode(encoded, most)).ok()?;
        Some((u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?))
    })
}

/// Returns the first bytes that base64 stands for, `most` or a few more; other characters, such as
/// line breaks, are passed over.
fn decode(encoded: &str, most: usize) -> Vec<u8> {
    let mut decoded = Vec::new();
    let (mut held, mut bits) = (0_u32, 0_u32);
    for sextet in encoded.bytes().filter_map(sextet) {
        held = held << 6 | u32::from(sextet);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            let [.., byte] = (held >> bits).to_be_bytes();
            decoded.push(byte);
            if decoded.len() >= most {
                break;
            }
        }
    }
    decoded
}

fn sextet(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// How images count for a model of which it is not known: as for GPT-4o.
const USUAL: ImageRule = ImageRule::Tiles { base: 85, tile: 170 };

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG of 1024 x 768 pixels as far as its size, behind 3,000 bytes of remarks, in base64.
    fn jpeg() -> String {
        let start = "/9j/4AAQSkZJRgABAQAAAQABAAD/4Qu6";
        let remarks = "AAAA".repeat(1000);
        format!("{start}{remarks}/8AAEQgDAAQAAwEiAAIRAQMRAQ==")
    }

    #[test]
    fn each_format_tells_its_size() {
        let cases = [
            ("png", "iVBORw0KGgoAAAANSUhEUgAABAAAAAQACAYAAAB/HSuD".to_owned(), (1024, 1024)),
            ("gif", "R0lGODlhLAHIAPcAAA==".to_owned(), (300, 200)),
            ("webp", "UklGRh4AAABXRUJQVlA4WAoAAAAQAAAAfwIA3wEA".to_owned(), (640, 480)),
            ("jpeg", jpeg(), (1024, 768)),
        ];
        for (kind, encoded, expected) in cases {
            let found = size(&format!("data:image/{kind};base64,{encoded}"));
            assert_eq!(found, Some(expected), "{kind}");
            let broken = encoded.replace("AAA", "A\r\nAA");
            let found = size(&format!("data:image/{kind};charset=x;base64,{broken}"));
            assert_eq!(found, Some(expected), "{kind} in lines");
        }
    }

    #[test]
    fn what_is_no_image_has_no_size() {
        for url in
            ["", "data:", "data:,x", "data:image/png,x", "data:image/png;base64,", "http://x"]
        {
            assert_eq!(size(url), None, "{url}");
        }
    }

    #[test]
    fn no_image_panics_however_broken() {
        let images = [
            "iVBORw0KGgoAAAANSUhEUgAABAAAAAQACAYAAAB/HSuD".to_owned(),
            "R0lGODlhLAHIAPcAAA==".to_owned(),
            "UklGRh4AAABXRUJQVlA4WAoAAAAQAAAAfwIA3wEA".to_owned(),
            jpeg(),
        ];
        for image in images {
            for place in 0..image.len().min(120) {
                for letter in ["A", "/", "8", "g"] {
                    let mut odd = image.clone();
                    odd.replace_range(place..=place, letter);
                    let _size = size(&format!("data:image/x;base64,{odd}"));
                    let _size = size(&format!("data:image/x;base64,{}", &image[..place]));
                }
            }
        }
    }
}
