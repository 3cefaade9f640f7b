//! The file beside the store.

use std::path::Path;

use tempfile::TempDir;

use crate::ledger::reread::Read;
use crate::ledger::row::{Common, ENTRY, FACET, Kind, Row, Value};
use crate::ledger::spill::{Record, Spill};

pub(super) const SIZE: u64 = 256 * 1024;

pub(super) fn row(seq: i64) -> Row {
    let value = |(at, (name, kind)): (usize, &(&str, Kind))| match (at % 3, kind) {
        (2, Kind::Text) => Value::Text(None),
        (_, Kind::Text) => Value::Text(Some(format!("{name} \"ü\n{seq}").into())),
        (2, Kind::Number) => Value::Number(None),
        (_, Kind::Number) => Value::Number(Some(seq * 1_000_000_007)),
    };
    let values =
        |columns: &[(&str, Kind)]| columns.iter().enumerate().map(value).collect::<Vec<_>>();
    Row { facet: Common::new(values(&FACET)).into(), entry: values(&ENTRY).into() }
}

pub(super) fn rows(seqs: std::ops::Range<i64>) -> Vec<Row> {
    seqs.map(row).collect()
}

pub(super) fn records(seqs: std::ops::Range<i64>) -> Vec<Record> {
    seqs.map(|seq| Record::Entry(row(seq))).collect()
}

/// Appends what has room, and returns how many that are.
pub(super) fn append(spill: &mut Spill, rows: &[Row]) -> usize {
    let frames = spill.frames(rows.iter());
    spill.write(&frames).expect("written");
    frames.ends.len()
}

/// Tells that all that is there is stored.
pub(super) fn store(spill: &mut Spill) {
    let end = all_to(spill).1;
    spill.stored_to(end).expect("written");
}

pub(super) fn take(folder: &Path, run: i64) -> Spill {
    Spill::take(folder, run, SIZE).expect("a file of our own").0
}

pub(super) fn all(spill: &mut Spill) -> Vec<Record> {
    all_to(spill).0
}

pub(super) fn all_to(spill: &mut Spill) -> (Vec<Record>, u64) {
    let (mut all, mut last) = (Vec::new(), 0);
    while spill.has_unread() {
        let some = spill.next(7).expect("readable");
        all.extend(some.records);
        last = some.end;
    }
    (all, last)
}

#[test]
fn what_is_spilled_comes_back_in_order_also_after_a_crash() {
    let home = TempDir::new().expect("a folder");
    let mut spill = take(home.path(), 1);
    assert!(!spill.has_unread());
    assert_eq!(append(&mut spill, &rows(0..20)), 20);
    assert_eq!(all(&mut spill), records(0..20));
    append(&mut spill, &rows(20..25));
    drop(spill);
    let mut spill = take(home.path(), 2);
    let mut expected = records(0..25);
    expected.push(Record::Over(1));
    assert_eq!(all(&mut spill), expected, "a run that is over is told behind what it left");
    drop(spill);
    let mut spill = take(home.path(), 3);
    expected.push(Record::Over(2));
    assert_eq!(all(&mut spill), expected);
    spill.rewind();
    store(&mut spill);
    assert!(!spill.has_unread() && spill.held() == 0);
    drop(spill);
    assert_eq!(all(&mut take(home.path(), 4)), [Record::Over(3)]);
}

#[test]
fn what_an_earlier_version_left_has_fewer_columns_and_is_read() {
    let home = TempDir::new().expect("a folder");
    let mut spill = take(home.path(), 1);
    let mut earlier = row(0);
    earlier.entry = earlier.entry[..ENTRY.len() - 1].into();
    append(&mut spill, &[earlier, row(1)]);
    drop(spill);
    let read = all(&mut take(home.path(), 2));
    let Some(Record::Entry(found)) = read.first() else { panic!("{read:?}") };
    assert_eq!(found.entry[..ENTRY.len() - 1], row(0).entry[..ENTRY.len() - 1]);
    assert_eq!(found.entry[ENTRY.len() - 1].as_text(), None);
    assert_eq!(read[1..], [Record::Entry(row(1)), Record::Over(1)]);
}

#[test]
fn a_full_file_takes_what_has_room_and_always_the_end_of_a_run() {
    let home = TempDir::new().expect("a folder");
    let mut spill = take(home.path(), 1);
    let mut taken = 0;
    loop {
        let some = append(&mut spill, &rows(taken..taken + 10));
        taken += i64::try_from(some).expect("few");
        if some < 10 {
            break;
        }
    }
    assert!(taken > 100, "{taken}");
    assert_eq!(append(&mut spill, &rows(taken..taken + 1)), 0);
    let size = home.path().join("sluicegate-0.spill").metadata().expect("it is there").len();
    assert_eq!(size, SIZE, "it never grows");
    drop(spill);
    let mut spill = take(home.path(), 2);
    let read = all(&mut spill);
    assert_eq!(read.len(), usize::try_from(taken).expect("few") + 1);
    assert_eq!(read.last(), Some(&Record::Over(1)));
}

#[test]
fn it_goes_round_and_round_and_a_crash_at_any_place_keeps_what_is_not_stored() {
    let home = TempDir::new().expect("a folder");
    let mut spill = take(home.path(), 1);
    let (mut next, mut stored) = (0, 0);
    // Some laps, with something that is not stored at each end.
    for round in 0..400_i64 {
        let some = append(&mut spill, &rows(next..next + 1 + round % 9));
        next += i64::try_from(some).expect("few");
        assert_eq!(some, usize::try_from(1 + round % 9).expect("few"), "there is room");
        let keep = round % 4;
        while next - stored > keep {
            let most = usize::try_from((next - stored - keep).min(7)).expect("few");
            let Read { records: read, end, damaged } = spill.next(most).expect("readable");
            let count = i64::try_from(read.len()).expect("few");
            assert_eq!((read, damaged), (records(stored..stored + count), 0));
            spill.stored_to(end).expect("written");
            stored += count;
        }
        if round % 50 == 7 {
            drop(spill);
            spill = take(home.path(), round);
            let mut expected = records(stored..next);
            let (found, end) = all_to(&mut spill);
            let over = found.last().cloned().expect("it tells that a run is over");
            assert!(matches!(over, Record::Over(_)), "{over:?}");
            expected.push(over);
            assert_eq!(found, expected, "{round}");
            spill.stored_to(end).expect("written");
            stored = next;
        }
    }
    let size = home.path().join("sluicegate-0.spill").metadata().expect("it is there").len();
    assert_eq!(size, SIZE, "it never grows");
}

#[test]
fn what_nobody_holds_is_taken_whole() {
    let home = TempDir::new().expect("a folder");
    let (mut first, mut second, third) =
        (take(home.path(), 1), take(home.path(), 2), take(home.path(), 3));
    append(&mut first, &rows(0..1));
    append(&mut second, &rows(1..3));
    drop((first, second));
    let mut left = Spill::take_left(home.path(), 9);
    assert_eq!(left.len(), 2, "the third is held");
    assert_eq!(all(&mut left[0]), [Record::Entry(row(0)), Record::Over(1)]);
    assert_eq!(all(&mut left[1])[..2], records(1..3));
    drop((left, third));
}

#[test]
fn each_instance_has_a_file_of_its_own() {
    let home = TempDir::new().expect("a folder");
    let first = take(home.path(), 1);
    let mut second = take(home.path(), 2);
    append(&mut second, &rows(0..1));
    drop(first);
    let mut third = take(home.path(), 3);
    assert_eq!(all(&mut third), [Record::Over(1)]);
    drop(second);
    assert_eq!(all(&mut take(home.path(), 4)), [Record::Entry(row(0)), Record::Over(2)]);
}

#[test]
fn a_file_of_another_form_is_left_as_it_is() {
    let home = TempDir::new().expect("a folder");
    let path = home.path().join("sluicegate-0.spill");
    std::fs::write(&path, "something else altogether").expect("written");
    let (mut spill, others) = Spill::take(home.path(), 1, SIZE).expect("the next one");
    assert_eq!(others, 0, "nobody holds it");
    append(&mut spill, &rows(0..1));
    drop(spill);
    let mut left = Spill::take_left(home.path(), 9);
    assert_eq!(left.len(), 1, "it keeps nobody from the others");
    assert_eq!(all(&mut left[0]), [Record::Entry(row(0)), Record::Over(1)]);
    assert_eq!(std::fs::read(&path).expect("there"), b"something else altogether");
}

#[test]
fn a_file_that_was_cut_off_gives_what_is_left_and_takes_its_room_again() {
    let home = TempDir::new().expect("a folder");
    let mut spill = take(home.path(), 1);
    append(&mut spill, &rows(0..2));
    let held = spill.held();
    drop(spill);
    let path = home.path().join("sluicegate-0.spill");
    for length in [64 + held - 1, 64 + 20, 64] {
        let file = std::fs::File::options().write(true).open(&path).expect("it is there");
        file.set_len(length).expect("cut off");
        let mut left = Spill::take_left(home.path(), 9);
        let found = all(&mut left[0]);
        let whole = usize::from(length > 64 + 20);
        assert_eq!(found[..whole], records(0..1)[..whole], "{length}");
        assert!(!found.contains(&Record::Entry(row(1))), "{length}");
        assert_eq!(path.metadata().expect("it is there").len(), SIZE, "{length}");
    }
}
