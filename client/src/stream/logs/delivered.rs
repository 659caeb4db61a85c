//! Which lines were delivered, so that none comes twice when a stream is begun again.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use crate::{LogLine, LogStream};

/// How far the lines of several containers may be out of order. What is as old as this before the newest line is
/// complete.
const DISORDER: Duration = Duration::from_secs(1);

/// The most times of lines that are remembered.
const MOST: usize = 1 << 16;

/// What tells lines of one time apart, but for those of one container and stream: these are counted.
type Source = (String, u32, LogStream);

#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// How many lines were delivered of each time and source, for the newest times.
    counts: BTreeMap<SystemTime, HashMap<Source, usize>>,
    /// How many of them are still to come for the second time.
    repeated: BTreeMap<SystemTime, HashMap<Source, usize>>,
}

impl Delivered {
    /// The time from which on to ask anew. `None` when nothing was delivered.
    pub(crate) fn resume_from(&self) -> Option<SystemTime> {
        self.counts.first_key_value().map(|(time, _)| *time)
    }

    /// From now on, lines come from [`Self::resume_from`] on again.
    pub(crate) fn begin_again(&mut self) {
        self.repeated = self.counts.clone();
    }

    /// Whether the line has not been delivered before; if so, it counts as delivered.
    pub(crate) fn is_new(&mut self, line: &LogLine) -> bool {
        let Some(time) = line.time else { return true };
        let source = (line.container.clone(), line.restart_count, line.stream);
        if let Some(left) = self
            .repeated
            .get_mut(&time)
            .and_then(|sources| sources.get_mut(&source))
            && *left > 0
        {
            *left -= 1;
            return false;
        }
        *self
            .counts
            .entry(time)
            .or_default()
            .entry(source)
            .or_default() += 1;
        self.forget();
        true
    }

    fn forget(&mut self) {
        let Some((newest, _)) = self.counts.last_key_value() else {
            return;
        };
        let complete = newest
            .checked_sub(DISORDER)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        while let Some((oldest, _)) = self.counts.first_key_value()
            && (*oldest < complete || self.counts.len() > MOST)
        {
            self.counts.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(millis: u64, container: &str, text: &str) -> LogLine {
        LogLine {
            time: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)),
            container: container.to_owned(),
            restart_count: 0,
            stream: LogStream::Stdout,
            text: text.to_owned(),
            partial: false,
        }
    }

    #[test]
    fn lines_of_the_same_time_are_counted() {
        let mut delivered = Delivered::default();
        assert!(delivered.is_new(&line(5, "a", "one")));
        assert!(delivered.is_new(&line(5, "a", "two")));
        assert!(delivered.is_new(&line(5, "b", "one")));
        delivered.begin_again();
        let again = [
            line(5, "a", "one"),
            line(5, "a", "two"),
            line(5, "a", "three"),
            line(5, "b", "one"),
            line(6, "b", "two"),
        ];
        let new: Vec<bool> = again.iter().map(|line| delivered.is_new(line)).collect();
        assert_eq!(new, [false, false, true, false, true]);
        delivered.begin_again();
        assert!(again.iter().all(|line| !delivered.is_new(line)));
    }

    #[test]
    fn a_line_that_came_late_is_not_lost() {
        let mut delivered = Delivered::default();
        assert!(delivered.is_new(&line(5000, "a", "")));
        assert!(delivered.is_new(&line(5400, "b", "")));
        delivered.begin_again();
        assert_eq!(delivered.resume_from(), line(5000, "a", "").time);
        assert!(!delivered.is_new(&line(5000, "a", "")));
        assert!(delivered.is_new(&line(5200, "a", "")), "it was on its way");
        assert!(!delivered.is_new(&line(5400, "b", "")));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut delivered = Delivered::default();
        assert_eq!(delivered.resume_from(), None);
        assert!(delivered.is_new(&line(1000, "a", "")));
        assert!(delivered.is_new(&line(2500, "a", "")));
        assert_eq!(delivered.resume_from(), line(2500, "a", "").time);
        for nanos in 0..2 * MOST as u64 {
            let mut line = line(3000, "a", "");
            line.time = line.time.map(|time| time + Duration::from_nanos(nanos));
            assert!(delivered.is_new(&line));
        }
        assert!(delivered.counts.len() <= MOST);
    }
}
