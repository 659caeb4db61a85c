//! The last lines, and those from a time on, against reading everything.

use proptest::prelude::*;

use super::*;

#[test]
fn none_of_the_lines_that_are_there_are_the_last_0() {
    let mut writer = Writer::new();
    writer.line("1");
    let extent = Extent {
        tail: Some(0),
        ..FOLLOW
    };
    let mut sources = writer.sources(extent);
    assert!(drain(&mut sources).unwrap().is_empty());
    writer.line("2");
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["2"]);
}

#[test]
fn a_line_without_an_end_is_one_of_the_last() {
    let mut writer = Writer::new();
    writer.line("whole");
    writer.entry("stderr", "P", "b");
    writer.entry("stdout", "P", "c");
    let last = |lines| {
        let extent = Extent {
            tail: Some(lines),
            ..READ
        };
        let lines = drain(&mut writer.sources(extent)).unwrap();
        assert!(
            lines
                .iter()
                .all(|it| it.line.is_partial == (it.line.text != "whole"))
        );
        texts(&lines).join(" ")
    };
    assert_eq!(last(1), "c");
    assert_eq!(last(2), "b c");
    assert_eq!(last(3), "whole b c");
}

#[test]
fn the_last_lines_are_found_in_a_large_file_without_reading_it() {
    let mut writer = Writer::new();
    let text = "x".repeat(1000);
    for _ in 0..20_000 {
        writer.line(&text);
    }
    for line in ["a", "b", "c"] {
        writer.line(line);
    }
    let start = std::time::Instant::now();
    let extent = Extent {
        tail: Some(2),
        ..READ
    };
    let mut sources = writer.sources(extent);
    assert_eq!(texts(&drain(&mut sources).unwrap()), ["b", "c"]);
    assert!(start.elapsed() < std::time::Duration::from_millis(200));
}

#[derive(Debug, Clone)]
enum Step {
    Line(bool, usize),
    Piece(bool, usize),
    Garbage,
    Rotate,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<bool>(), 0..40_usize).prop_map(|(err, length)| Step::Line(err, length)),
        1 => any::<bool>().prop_map(|err| Step::Line(err, 66_000)),
        4 => (any::<bool>(), 0..9_usize).prop_map(|(err, length)| Step::Piece(err, length)),
        1 => Just(Step::Garbage),
        2 => Just(Step::Rotate),
    ];
    proptest::collection::vec(step, 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_last_lines_are_those_that_reading_all_ends_with(
        steps in steps(),
        tail in 0..12_u64,
        compress in any::<bool>(),
    ) {
        let mut writer = Writer::new();
        for (number, step) in steps.into_iter().enumerate() {
            let output = |err| if err { "stderr" } else { "stdout" };
            match step {
                Step::Line(err, length) => {
                    writer.entry(output(err), "F", &format!("{number}{}", "x".repeat(length)));
                }
                Step::Piece(err, length) => {
                    writer.entry(output(err), "P", &format!("{number}{}", "x".repeat(length)));
                }
                Step::Garbage => writer.raw(b"garbage\n"),
                Step::Rotate => {
                    if compress {
                        writer.tidy(usize::MAX);
                    }
                    writer.rename();
                    writer.reopen();
                }
            }
        }
        // What has no end comes last, wherever it began; that is another test's.
        writer.entry("stderr", "F", "");
        writer.entry("stdout", "F", "");
        let all = drain(&mut writer.sources(READ)).unwrap();
        let extent = Extent { tail: Some(tail), ..READ };
        let found = drain(&mut writer.sources(extent)).unwrap();
        let first = all.len().saturating_sub(usize::try_from(tail).unwrap());
        let wanted = &all[first..];
        prop_assert_eq!(texts(&found), texts(wanted));
    }

    #[test]
    fn the_lines_since_a_time_are_those_of_all_that_have_it(
        lines in proptest::collection::vec(any::<bool>(), 1..60),
        since in 0..60_usize,
    ) {
        let mut writer = Writer::new();
        let mut times = Vec::new();
        for (number, rotate) in lines.iter().enumerate() {
            times.push(writer.line(&number.to_string()));
            if *rotate {
                writer.tidy(usize::MAX);
                writer.rename();
                writer.reopen();
            }
        }
        let since = times[since.min(times.len() - 1)];
        let extent = Extent { since: Some(since), ..READ };
        let found = drain(&mut writer.sources(extent)).unwrap();
        let wanted = times.iter().filter(|time| **time >= since).count();
        prop_assert_eq!(found.len(), wanted);
        prop_assert!(found.iter().all(|it| it.line.time >= since));
    }
}
