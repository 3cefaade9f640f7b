use std::io::Read as _;

use flate2::Compression;
use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

fn packed(coding: Coding, text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let level = Compression::default();
    match coding {
        Coding::Gzip => GzEncoder::new(text, level).read_to_end(&mut packed),
        Coding::Deflate => ZlibEncoder::new(text, level).read_to_end(&mut packed),
        Coding::Brotli => brotli::CompressorReader::new(text, 4096, 5, 22).read_to_end(&mut packed),
        Coding::Zstd => {
            packed = compress_to_vec(text, CompressionLevel::Fastest);
            Ok(packed.len())
        }
    }
    .expect("packed");
    packed
}

#[test]
fn a_body_is_read_however_it_is_packed_and_cut() {
    let text: Vec<u8> = (0..40_000_u32).flat_map(|n| (n % 977).to_le_bytes()).collect();
    for coding in ALL {
        let packed = packed(coding, &text);
        assert_eq!(coding.unpack(&packed, text.len()).expect("unpacked"), text, "{coding:?}");
        for size in [1, 2, 3, 17, 1000] {
            let mut unpacker = Unpacker::new(coding);
            let pieces = packed.chunks(size).map(|piece| unpacker.feed(piece, text.len()));
            let pieces: Vec<Bytes> = pieces.map(|piece| piece.expect("readable")).collect();
            assert_eq!(pieces.concat(), text, "{coding:?} by {size}");
        }
    }
}

#[test]
fn what_is_sent_as_deflate_without_zlibs_head_is_read_too() {
    let mut packed = Vec::new();
    DeflateEncoder::new(&b"hello"[..], Compression::fast())
        .read_to_end(&mut packed)
        .expect("packed");
    assert_eq!(Coding::Deflate.unpack(&packed, 5).expect("unpacked"), "hello");
}

#[test]
fn several_members_are_one_body() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let twice = [packed(coding, b"one "), packed(coding, b"two")].concat();
        assert_eq!(coding.unpack(&twice, 100).expect("unpacked"), "one two", "{coding:?}");
    }
}

#[test]
fn a_bomb_takes_no_more_than_its_room() {
    let zeros = vec![0; 20 << 20];
    for coding in ALL {
        let bomb = packed(coding, &zeros);
        assert!(bomb.len() < zeros.len() / 100, "{coding:?}: {}", bomb.len());
        let mut unpacker = Unpacker::new(coding);
        let room = 1 << 20;
        assert_eq!(unpacker.feed(&bomb, room), Err(UnpackError::TooLarge { room }), "{coding:?}");
        assert_eq!(unpacker.feed(&bomb, room), Err(UnpackError::Broken), "it is over");
    }
}

#[test]
fn the_head_says_how_a_body_is_packed() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        (&[][..],                  Packing::Plain),
        (&[""],                    Packing::Plain),
        (&["Identity"],            Packing::Plain),
        (&["GZIP"],                Packing::Packed(Coding::Gzip)),
        (&["identity, br"],        Packing::Packed(Coding::Brotli)),
        (&["x-gzip"],              Packing::Packed(Coding::Gzip)),
        (&["gzip, br"],            Packing::Unknown),
        (&["gzip", "gzip"],        Packing::Unknown),
        (&["compress"],            Packing::Unknown),
    ];
    for (given, expected) in cases {
        let values = given.iter().map(|value| value.parse().expect("a value"));
        let headers = HeaderMap::from_iter(values.map(|value| (header::CONTENT_ENCODING, value)));
        assert_eq!(Packing::of(&headers), expected, "{given:?}");
    }
}

proptest! {
    #[test]
    fn nothing_panics_whatever_the_bytes_are(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..300,
        flip in any::<u8>(),
    ) {
        for coding in ALL {
            let _any = coding.unpack(&bytes, 10_000);
            let mut damaged = packed(coding, &bytes.repeat(3));
            let place = cut % damaged.len();
            damaged[place] ^= flip;
            let _any = coding.unpack(&damaged, 10_000);
            damaged.truncate(cut);
            let _any = coding.unpack(&damaged, 10_000);
        }
    }
}
