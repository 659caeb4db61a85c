//! Nothing is lost and nothing comes twice, whatever the kubelet does with the files meanwhile.

use std::{fs, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::logs::entry::Output;

#[test]
fn a_file_is_read_to_its_end_after_it_was_renamed_and_then_its_successor() {
    let mut writer = Writer::new();
    writer.line("1");
    let mut sources = writer.sources(FOLLOW);
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["1"]);
    writer.rename();
    writer.line("2");
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["2"]);
    writer.reopen();
    writer.line("3");
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["3"]);
}

#[test]
fn what_comes_into_the_old_file_after_the_new_one_has_begun_is_not_lost() {
    let mut writer = Writer::new();
    writer.line("1");
    let mut sources = writer.sources(FOLLOW);
    drain(&mut sources).unwrap();
    writer.rename();
    let mut old = writer.file.try_clone().unwrap();
    writer.reopen();
    writer.line("4");
    assert!(sources.batch().unwrap().is_empty(), "it waits for more");
    old.write_all(b"2026-01-01T00:00:00Z stderr F 2\n").unwrap();
    let mut lines = sources.batch().unwrap();
    lines.extend(drain(&mut sources).unwrap());
    old.write_all(b"2026-01-01T00:00:00Z stderr F 3\n").unwrap();
    lines.extend(drain(&mut sources).unwrap());
    assert_eq!(texts(&lines), ["2", "4", "3"]);
}

#[test]
fn a_reader_who_is_several_rotations_behind_goes_through_all_of_them() {
    let mut writer = Writer::new();
    writer.line("0");
    let mut sources = writer.sources(FOLLOW);
    drain(&mut sources).unwrap();
    for line in 1..4 {
        writer.rotate();
        writer.line(&line.to_string());
    }
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["1", "2", "3"]);
}

#[test]
fn a_reader_whose_next_file_was_removed_is_told_so() {
    let mut writer = Writer::new();
    writer.line("0");
    let mut sources = writer.sources(FOLLOW);
    drain(&mut sources).unwrap();
    for line in 1..9 {
        writer.rotate();
        writer.line(&line.to_string());
    }
    let error = drain(&mut sources).unwrap_err();
    assert!(matches!(error, LogError::Lost { .. }), "{error:?}");
}

#[test]
fn all_that_is_there_is_read_through_compressed_files() {
    let mut writer = Writer::new();
    for line in 0..4 {
        writer.line(&line.to_string());
        writer.rotate();
    }
    let names: Vec<_> = fs::read_dir(writer.folder()).unwrap().collect();
    assert!(
        names
            .iter()
            .any(|it| it.as_ref().unwrap().path().extension().unwrap() == "gz")
    );
    let mut sources = writer.sources(READ);
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["0", "1", "2", "3"]);
    assert!(sources.are_done());
}

#[test]
fn reading_without_following_ends_where_the_log_ended_when_it_began() {
    let mut writer = Writer::new();
    writer.line("1");
    let mut sources = writer.sources(READ);
    writer.line("2");
    writer.rotate();
    writer.line("3");
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["1"]);
    assert!(sources.are_done());
}

#[test]
fn the_next_attempts_are_followed_and_an_unfinished_line_of_the_last_one_is_sent() {
    let mut writer = Writer::new();
    writer.line("1");
    writer.entry("stderr", "P", "half");
    writer.raw(b"2026-01-01T00:00:00Z stdout F torn");
    let mut sources = writer.sources(FOLLOW);
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["1"]);
    writer.restart();
    writer.line("2");
    writer.restart();
    writer.line("3");
    let lines = drain(&mut sources).unwrap();
    assert_eq!(texts(&lines), ["torn", "half", "2", "3"]);
    let attempts: Vec<u32> = lines.iter().map(|it| it.attempt).collect();
    assert_eq!(attempts, [0, 0, 1, 2]);
}

#[test]
fn an_attempt_that_wrote_nothing_does_not_hold_up_those_after_it() {
    let mut writer = Writer::new();
    let long = "x".repeat(70_000);
    writer.line(&long);
    let mut sources = writer.sources(FOLLOW);
    writer.restart();
    writer.restart();
    writer.line("last");
    assert_eq!(texts(&drain(&mut sources).unwrap()), [&long, "last"]);
}

#[test]
fn what_is_no_entry_is_passed_on_as_text() {
    let mut writer = Writer::new();
    writer.line("1");
    writer.raw(b"\0\0 garbage\n\n");
    writer.line("2");
    let mut sources = writer.sources(READ);
    let lines = drain(&mut sources).unwrap();
    assert_eq!(texts(&lines), ["1", "\0\0 garbage", "", "2"]);
}

#[test]
fn an_entry_that_is_longer_than_a_block_is_one_line() {
    let mut writer = Writer::new();
    let long = "x".repeat(300_000);
    writer.line(&long);
    writer.line("short");
    let mut sources = writer.sources(READ);
    assert_eq!(texts(&drain(&mut sources).unwrap()), [&long, "short"]);
}

#[test]
fn the_files_of_a_pod_that_is_removed_end_the_log_and_lose_nothing() {
    let mut writer = Writer::new();
    writer.rotate();
    writer.line("1");
    let mut sources = writer.sources(FOLLOW);
    drain(&mut sources).unwrap();
    writer.line("2");
    #[expect(clippy::disallowed_methods, reason = "plays the kubelet")]
    fs::remove_file(writer.base()).unwrap();
    sources.all[0].learn(0, true);
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["2"]);
    assert!(sources.are_done());
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("0.log")).unwrap();
    let error = Source::open(Arc::from("main"), folder.path().to_owned(), 0, READ).unwrap_err();
    assert!(matches!(error, LogError::Unreadable { .. }), "{error:?}");
}

#[test]
fn several_containers_are_merged_by_time() {
    let (mut a, mut b) = (Writer::new(), Writer::new());
    for line in 0..6 {
        let (now, other) = if line % 2 == 0 {
            (&mut a, &mut b)
        } else {
            (&mut b, &mut a)
        };
        now.line(&line.to_string());
        other.time = now.time;
    }
    let mut sources = a.sources(READ);
    sources.all.extend(b.sources(READ).all);
    let lines = drain(&mut sources).unwrap();
    assert_eq!(texts(&lines), ["0", "1", "2", "3", "4", "5"]);
    assert!(lines.iter().all(|it| it.line.output == Output::Stdout));
}

/// What happens to the log.
#[derive(Debug, Clone)]
enum Step {
    Line(usize),
    /// A line of pieces on stderr, between whose pieces lines of stdout come.
    Pieces(usize),
    Rename,
    Reopen,
    Compress,
    Read,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..200_usize).prop_map(Step::Line),
        1 => Just(Step::Line(70_000)),
        3 => (1..5_usize).prop_map(Step::Pieces),
        2 => Just(Step::Rename),
        2 => Just(Step::Reopen),
        2 => Just(Step::Compress),
        4 => Just(Step::Read),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_line_comes_once_and_in_order(steps in steps(), follow in any::<bool>()) {
        let mut writer = Writer::new();
        let mut sources = follow.then(|| writer.sources(FOLLOW));
        let (mut wanted, mut read) = (Vec::new(), Vec::new());
        let mut renamed = false;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Line(length) => {
                    let text = format!("{number} {}", "x".repeat(length));
                    writer.line(&text);
                    wanted.push(text);
                }
                Step::Pieces(count) => {
                    let mut text = String::new();
                    for piece in 0..count {
                        writer.entry("stderr", "P", &format!("{number}.{piece};"));
                        text += &format!("{number}.{piece};");
                        let between = format!("between {number}.{piece}");
                        writer.line(&between);
                        wanted.push(between);
                    }
                    writer.entry("stderr", "F", "");
                    wanted.push(text);
                }
                Step::Rename if !renamed => {
                    writer.rename();
                    renamed = true;
                }
                Step::Reopen if renamed => {
                    writer.reopen();
                    renamed = false;
                }
                Step::Compress if !renamed => writer.tidy(usize::MAX),
                // With no other source of attempts than the folder, those before the last are read by following.
                Step::Restart if follow && !renamed => writer.restart(),
                Step::Read => if let Some(sources) = &mut sources {
                    // No more than a batch: the reader may be behind.
                    read.extend(sources.batch().unwrap());
                },
                _ => {}
            }
        }
        let mut sources = sources.unwrap_or_else(|| writer.sources(READ));
        read.extend(drain(&mut sources).unwrap());
        prop_assert_eq!(texts(&read), wanted);
    }
}
