//! What is left of a file beside the store that was damaged.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;
use tempfile::TempDir;

use super::spill::{append, records, row, rows, store, take};
use crate::ledger::reread::{Looked, Read};
use crate::ledger::spill::{Record, Spill};

/// A file that is nearly full, from somewhere in its second lap to somewhere in its third.
struct Filled {
    home: TempDir,
    /// Where each of its entries begins and ends in the file, in order; the first is that of row 0.
    places: Places,
}

/// Small, for many are damaged.
const SIZE: u64 = 96 * 1024;

/// Where the bytes of each entry stand.
type Places = Vec<Vec<usize>>;

/// A file, and where its entries stand.
type Whole = (Vec<u8>, Places);

static FILLED: LazyLock<Whole> = LazyLock::new(|| {
    let filled = Filled::make();
    (fs::read(filled.path()).expect("there"), filled.places)
});

impl Filled {
    fn new() -> Self {
        let filled = Self { home: TempDir::new().expect("a folder"), places: FILLED.1.clone() };
        fs::write(filled.path(), &FILLED.0).expect("written");
        filled
    }

    fn make() -> Self {
        let home = TempDir::new().expect("a folder");
        let mut spill = Spill::take(home.path(), 1, SIZE).expect("a file of our own").0;
        // It never gets empty, so it goes on where it is.
        append(&mut spill, &[row(-1)]);
        while spill.start < SIZE + SIZE / 2 {
            append(&mut spill, &[row(-2)]);
            let read = spill.next(1).expect("readable");
            spill.stored_to(read.end).expect("written");
        }
        let mut before = spill.tail;
        let mut places = Vec::new();
        while append(&mut spill, &[row(i64::try_from(places.len()).expect("few"))]) == 1 {
            let bytes = before..spill.tail;
            let in_file = |at: u64| usize::try_from(64 + at % (SIZE - 64)).expect("small");
            places.push(bytes.map(in_file).collect());
            before = spill.tail;
        }
        store_first(&mut spill);
        assert!(places.len() > 50, "{}", places.len());
        Self { home, places }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("sluicegate-0.spill")
    }

    /// Returns the entries that have none of these bytes.
    fn untouched(&self, is_touched: impl Fn(usize) -> bool) -> Vec<Record> {
        let whole = self
            .places
            .iter()
            .zip(0..)
            .filter(|(bytes, _)| !bytes.iter().any(|at| is_touched(*at)));
        whole.map(|(_, seq)| Record::Entry(row(seq))).collect()
    }

    fn length(&self, seq: usize) -> u64 {
        self.places[seq].len() as u64
    }
}

/// Tells that the entry in front of those that are asked for is stored.
fn store_first(spill: &mut Spill) {
    let read = spill.next(1).expect("readable");
    spill.stored_to(read.end).expect("written");
}

fn everything(folder: &std::path::Path) -> Read {
    let mut spill = take(folder, 2);
    spill.next(usize::MAX).expect("readable")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn four_bytes_anywhere_cost_the_entries_they_are_in_and_no_other(
        at in 64..usize::try_from(SIZE).expect("small") - 4,
        bytes in any::<[u8; 4]>(),
    ) {
        let filled = Filled::new();
        let mut file = fs::read(filled.path()).expect("there");
        let changed: Vec<usize> = (at..at + 4).filter(|place| file[*place] != bytes[place - at]).collect();
        file[at..at + 4].copy_from_slice(&bytes);
        fs::write(filled.path(), file).expect("written");
        let mut expected = filled.untouched(|at| changed.contains(&at));
        let looked = Looked::at(filled.home.path());
        let seen: Vec<Record> = looked.rows.into_iter().map(Record::Entry).collect();
        prop_assert_eq!(&seen, &expected, "who only looks finds them, too");
        prop_assert!(looked.unread.is_empty());
        let read = everything(filled.home.path());
        expected.push(Record::Over(1));
        prop_assert_eq!(&read.records, &expected);
        // The last may have lost the head by which it would be known.
        let lost = filled.places.iter().enumerate().filter(|(_, bytes)| {
            bytes.iter().any(|at| changed.contains(at))
        });
        let lost: Vec<usize> = lost.map(|(seq, _)| seq).collect();
        if !lost.contains(&(filled.places.len() - 1)) {
            let told: u64 = lost.iter().map(|seq| filled.length(*seq)).sum();
            prop_assert_eq!(read.damaged, told);
            prop_assert_eq!(looked.damaged, told);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_of_zeros_cost_the_entries_they_are_in_and_no_other(
        page in 1..usize::try_from(SIZE / 4096).expect("small"),
        pages in 1..8_usize,
    ) {
        let filled = Filled::new();
        let mut file = fs::read(filled.path()).expect("there");
        let end = (page + pages).saturating_mul(4096).min(file.len());
        file[page * 4096..end].fill(0);
        fs::write(filled.path(), file).expect("written");
        let mut expected = filled.untouched(|at| (page * 4096..end).contains(&at));
        expected.push(Record::Over(1));
        prop_assert_eq!(everything(filled.home.path()).records, expected);
    }

    #[test]
    fn a_file_cut_off_anywhere_gives_what_is_in_front(
        length in 64..usize::try_from(SIZE).expect("small"),
    ) {
        let filled = Filled::new();
        let file = fs::File::options().write(true).open(filled.path()).expect("there");
        file.set_len(length as u64).expect("cut off");
        drop(file);
        let mut expected = filled.untouched(|at| at >= length);
        let looked = Looked::at(filled.home.path());
        let seen: Vec<Record> = looked.rows.into_iter().map(Record::Entry).collect();
        prop_assert_eq!(&seen, &expected);
        prop_assert!(looked.damaged >= SIZE - length as u64);
        let read = everything(filled.home.path());
        expected.push(Record::Over(1));
        prop_assert_eq!(read.records, expected);
        prop_assert!(read.damaged >= SIZE - length as u64, "{}", read.damaged);
    }

    #[test]
    fn a_head_that_is_damaged_hides_no_entry(at in 0..48_usize, byte in 1..=255_u8) {
        let filled = Filled::new();
        let mut file = fs::read(filled.path()).expect("there");
        file[at] ^= byte;
        fs::write(filled.path(), &file).expect("written");
        let expected = filled.untouched(|_| false);
        let looked = Looked::at(filled.home.path());
        let seen: Vec<Record> = looked.doubtful.into_iter().map(Record::Entry).collect();
        prop_assert!(looked.rows.is_empty() && seen.ends_with(&expected));
        prop_assert_eq!(fs::read(filled.path()).expect("there"), file, "it is only read");
        let mut left = Spill::take_left(filled.home.path(), 2);
        let read = left[0].next(usize::MAX).expect("readable");
        prop_assert!(read.records.ends_with(&expected));
        prop_assert!(read.damaged > 0, "it is told");
        prop_assert!(left[0].doubt.is_some());
        left[0].stored_to(read.end).expect("written");
        drop(left);
        prop_assert_eq!(everything(filled.home.path()).records, [Record::Over(2)], "it is mended");
    }
}

#[test]
fn a_head_of_zeros_hides_no_entry() {
    let filled = Filled::new();
    let mut file = fs::read(filled.path()).expect("there");
    file[..64].fill(0);
    fs::write(filled.path(), &file).expect("written");
    let looked = Looked::at(filled.home.path());
    assert_eq!(
        looked.doubtful.len(),
        Spill::take_left(filled.home.path(), 2)[0]
            .next(usize::MAX)
            .expect("readable")
            .records
            .len()
    );
    let seen: Vec<Record> = looked.doubtful.into_iter().map(Record::Entry).collect();
    assert!(seen.ends_with(&filled.untouched(|_| false)));
}

#[test]
fn random_bytes_all_over_a_file_are_passed_over_and_told() {
    let filled = Filled::new();
    let mut file = fs::read(filled.path()).expect("there");
    let mut touched = Vec::new();
    for place in 0..200 {
        let at = 64 + (place * 7_919) % (file.len() - 68);
        for byte in &mut file[at..at + 4] {
            *byte = !*byte;
        }
        touched.extend(at..at + 4);
    }
    fs::write(filled.path(), file).expect("written");
    let mut expected = filled.untouched(|at| touched.contains(&at));
    assert!(!expected.is_empty());
    expected.push(Record::Over(1));
    let read = everything(filled.home.path());
    assert_eq!(read.records, expected);
    assert!(read.damaged > 0);
}

#[test]
fn a_file_that_tells_nothing_is_named_to_who_looks() {
    let home = TempDir::new().expect("a folder");
    fs::write(home.path().join("sluicegate-0.spill"), "something else").expect("written");
    fs::create_dir(home.path().join("sluicegate-1.spill")).expect("made");
    let mut spill = take(home.path(), 1);
    append(&mut spill, &rows(0..2));
    let looked = Looked::at(home.path());
    let seen: Vec<Record> = looked.rows.into_iter().map(Record::Entry).collect();
    assert_eq!(seen, records(0..2), "it keeps nobody from the others");
    assert_eq!(looked.unread.len(), 2, "{:?}", looked.unread);
    assert!(looked.unread[0].contains("sluicegate-0.spill"), "{:?}", looked.unread);
    store(&mut spill);
    assert_eq!(Looked::at(home.path()).rows, []);
}
