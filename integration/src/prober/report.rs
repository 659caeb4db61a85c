//! What came of the requests.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::LIMIT;

/// One user at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub(super) user: usize,
    /// The user's name.
    pub name: String,
    /// Where the user asks.
    pub address: IpAddr,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of [`Report::lines`].
    pub line: usize,
    /// Since the prober began.
    pub start: Duration,
    /// How much later it began than it should have. The machine's fault, never the server's.
    pub lag: Duration,
    /// From the connection to the end of the answer.
    pub latency: Duration,
    /// The status, or the error.
    pub outcome: Result<u16, String>,
}

impl Record {
    /// Whether there was an error, another status than 2xx, or too long a wait.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.has_failed() || self.latency > LIMIT
    }

    fn has_failed(&self) -> bool {
        !matches!(self.outcome, Ok(200..=299))
    }
}

/// How the watch fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// How many writes it has told of.
    pub events: usize,
    /// How many writes were answered, and not told of.
    pub missed: usize,
    /// How often it was cut and went on.
    pub resumed: usize,
    /// How often it could not go on where it was.
    pub begun_anew: usize,
    /// From an end to the next beginning.
    pub longest_gap: Duration,
}

/// All of it. Its `Display` is the summary, with each loss.
#[derive(Clone, Debug)]
pub struct Report {
    /// When the prober began.
    pub begin: SystemTime,
    /// For how long it asked.
    pub lasted: Duration,
    /// Who asked where.
    pub lines: Vec<Line>,
    /// All requests, in the order in which they ended.
    pub records: Vec<Record>,
    /// The longest time for which the prober itself had no turn on a processor.
    pub stall: Duration,
    /// How many requests were not made, since too many of the same user at the same address were under way.
    pub left_out: usize,
    /// The watch, if there was one.
    pub watched: Option<Watched>,
}

impl Report {
    /// How many requests there were.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.records.len()
    }

    /// Those that were lost.
    #[must_use]
    pub fn lost(&self) -> Vec<&Record> {
        self.records.iter().filter(|it| it.is_lost()).collect()
    }

    /// Those of the lost that had an error or another status than 2xx. The others were only too slow, which on a machine
    /// that is short of time says nothing of who answered.
    #[must_use]
    pub fn failed(&self) -> Vec<&Record> {
        self.records.iter().filter(|it| it.has_failed()).collect()
    }

    /// The longest time to an answer, or to the loss.
    #[must_use]
    pub fn longest(&self) -> Duration {
        longest(&self.records, |it| it.latency)
    }

    /// The longest time by which a request began too late.
    #[must_use]
    pub fn lag(&self) -> Duration {
        longest(&self.records, |it| it.lag)
    }
}

fn longest<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    of: impl Fn(&Record) -> Duration,
) -> Duration {
    records.into_iter().map(of).max().unwrap_or_default()
}

/// The losses that are told one by one.
const TOLD: usize = 50;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |it: Duration| it.as_secs_f64() * 1000.0;
        let lost = self.lost();
        writeln!(
            f,
            "{} requests in {:.1} s, {} lost ({} failed), {} left out, longest {:.0} ms; begun up to {:.0} ms late, no turn for up to {:.0} ms",
            self.requests(),
            self.lasted.as_secs_f64(),
            lost.len(),
            self.failed().len(),
            self.left_out,
            ms(self.longest()),
            ms(self.lag()),
            ms(self.stall),
        )?;
        for (index, line) in self.lines.iter().enumerate() {
            let of_line = || self.records.iter().filter(move |it| it.line == index);
            writeln!(
                f,
                "  {} at {}: {} requests, {} lost, longest {:.0} ms",
                line.name,
                line.address,
                of_line().count(),
                of_line().filter(|it| it.is_lost()).count(),
                ms(longest(of_line(), |it| it.latency)),
            )?;
        }
        if let Some(watched) = &self.watched {
            writeln!(
                f,
                "  watch: {} writes told, {} missed, resumed {} times ({} anew), longest gap {:.0} ms",
                watched.events,
                watched.missed,
                watched.resumed,
                watched.begun_anew,
                ms(watched.longest_gap),
            )?;
        }
        for record in lost.iter().take(TOLD) {
            let line = &self.lines[record.line];
            let what = match &record.outcome {
                Ok(status) => format!("status {status}"),
                Err(error) => error.clone(),
            };
            writeln!(
                f,
                "  lost at {:.3} s: {} at {}, {what} after {:.0} ms",
                record.start.as_secs_f64(),
                line.name,
                line.address,
                ms(record.latency),
            )?;
        }
        match lost.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }
}
