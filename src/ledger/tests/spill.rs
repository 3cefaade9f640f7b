//! The file beside the store.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use crate::ledger::row::{ENTRY, FACET, Kind, Row, Value};
use crate::ledger::spill::{Record, Spill};

const SIZE: u64 = 256 * 1024;

fn record(seq: i64) -> Record {
    let value = |(at, (name, kind)): (usize, &(&str, Kind))| match (at % 3, kind) {
        (2, Kind::Text) => Value::Text(None),
        (_, Kind::Text) => Value::Text(Some(format!("{name} \"ü\n{seq}").into())),
        (2, Kind::Number) => Value::Number(None),
        (_, Kind::Number) => Value::Number(Some(seq * 1_000_000_007)),
    };
    let values = |columns: &[(&str, Kind)]| columns.iter().enumerate().map(value).collect();
    Record::Entry(Row { facet: values(&FACET), entry: values(&ENTRY) })
}

fn records(seqs: std::ops::Range<i64>) -> Vec<Record> {
    seqs.map(record).collect()
}

fn take(folder: &Path, run: i64) -> Spill {
    Spill::take(folder, run, SIZE).expect("a file of our own").0
}

fn all(spill: &mut Spill) -> Vec<Record> {
    let mut all = Vec::new();
    while spill.has_unread() {
        all.extend(spill.next(7).expect("readable"));
    }
    all
}

#[test]
fn what_is_spilled_comes_back_in_order_also_after_a_crash() {
    let home = TempDir::new().expect("a folder");
    let mut spill = take(home.path(), 1);
    assert!(!spill.has_unread());
    assert_eq!(spill.append(&records(0..20)).expect("room"), 20);
    assert_eq!(all(&mut spill), records(0..20));
    spill.append(&records(20..25)).expect("room");
    drop(spill);
    let mut spill = take(home.path(), 2);
    let mut expected = records(0..25);
    expected.push(Record::Over(1));
    assert_eq!(all(&mut spill), expected, "a run that is over is told behind what it left");
    drop(spill);
    let mut spill = take(home.path(), 3);
    expected.push(Record::Over(2));
    assert_eq!(all(&mut spill), expected);
    spill.clear(3).expect("written");
    assert!(!spill.has_unread());
    drop(spill);
    assert_eq!(all(&mut take(home.path(), 4)), [Record::Over(3)]);
}

#[test]
fn what_an_earlier_version_left_has_fewer_columns_and_is_read() {
    let home = TempDir::new().expect("a folder");
    let mut spill = take(home.path(), 1);
    let Record::Entry(whole) = record(0) else { unreachable!() };
    let short = Row { entry: whole.entry[..35].into(), ..whole.clone() };
    spill.append(&[Record::Entry(short)]).expect("room");
    drop(spill);
    let path = home.path().join("sluicegate-0.spill");
    let mut bytes = std::fs::read(&path).expect("readable");
    bytes[15] = 1;
    let sum = xxh3_64(&bytes[..36]) ^ 1_u64.rotate_left(32);
    bytes[36..44].copy_from_slice(&sum.to_le_bytes());
    std::fs::write(&path, bytes).expect("written");

    let mut spill = take(home.path(), 2);
    let mut entry = whole.entry.to_vec();
    entry[35] = Value::Text(None);
    let padded = Record::Entry(Row { entry: entry.into(), ..whole });
    let read = all(&mut spill);
    assert_eq!(read, [padded, Record::Over(1)]);
    drop(spill);
    let head = std::fs::read(&path).expect("readable");
    assert_eq!(head[15], 2, "an older program would forget the last column, and with it the entry");
    assert_eq!(all(&mut take(home.path(), 3)).len(), 3, "what it had is still there");
}

#[test]
fn what_was_not_written_whole_ends_the_file() {
    let home = TempDir::new().expect("a folder");
    let mut spill = take(home.path(), 1);
    spill.append(&records(0..3)).expect("room");
    let third = spill.held();
    spill.append(&records(3..5)).expect("room");
    drop(spill);
    let path = home.path().join("sluicegate-0.spill");
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("it is there");
    file.seek(SeekFrom::Start(64 + third + 40)).expect("a place");
    file.write_all(b"#").expect("written");
    let mut spill = take(home.path(), 2);
    let mut expected = records(0..3);
    expected.push(Record::Over(1));
    assert_eq!(all(&mut spill), expected);
}

#[test]
fn a_full_file_takes_what_has_room_and_always_the_end_of_a_run() {
    let home = TempDir::new().expect("a folder");
    let mut spill = take(home.path(), 1);
    let mut taken = 0;
    loop {
        let some = spill.append(&records(taken..taken + 10)).expect("written");
        taken += i64::try_from(some).expect("few");
        if some < 10 {
            break;
        }
    }
    assert!(taken > 100, "{taken}");
    assert_eq!(spill.append(&records(taken..taken + 1)).expect("written"), 0);
    let size = home.path().join("sluicegate-0.spill").metadata().expect("it is there").len();
    assert_eq!(size, SIZE, "it never grows");
    drop(spill);
    let mut spill = take(home.path(), 2);
    let read = all(&mut spill);
    assert_eq!(read.len(), usize::try_from(taken).expect("few") + 1);
    assert_eq!(read.last(), Some(&Record::Over(1)));
}

#[test]
fn each_instance_has_a_file_of_its_own() {
    let home = TempDir::new().expect("a folder");
    let first = take(home.path(), 1);
    let mut second = take(home.path(), 2);
    second.append(&records(0..1)).expect("room");
    drop(first);
    let mut third = take(home.path(), 3);
    assert_eq!(all(&mut third), [Record::Over(1)]);
    drop(second);
    assert_eq!(all(&mut take(home.path(), 4)), [record(0), Record::Over(2)]);
}

#[test]
fn a_file_of_another_form_is_left_as_it_is() {
    let home = TempDir::new().expect("a folder");
    let path = home.path().join("sluicegate-0.spill");
    std::fs::write(&path, "something else altogether").expect("written");
    let error = Spill::take(home.path(), 1, SIZE).expect_err("it is not ours");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    assert_eq!(std::fs::read(&path).expect("there"), b"something else altogether");
}
