//! Rows, the Markdown table and the JSON list.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::stats::Samples;

/// From this many samples on, the 99th percentile says something.
const ENOUGH_FOR_P99: usize = 50;

/// What a row's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Megabytes,
    Requests,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Megabytes => "MB",
            Self::Requests => "requests",
        }
    }
}

/// What our median must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// At most this many times the alternative's median.
    Times(f64),
    /// At most the alternative's median and this much more.
    Above(f64),
    /// At most this.
    AtMost(f64),
    /// Less than the alternative's median.
    Less,
}

/// One measurement.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) alternative_name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) ours: Samples,
    pub(crate) alternative: Samples,
    pub(crate) goal: Goal,
    /// How it was measured, in one or two sentences.
    pub(crate) how: String,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours.median() / self.alternative.median()
    }

    fn met(&self) -> bool {
        let (ours, alternative) = (self.ours.median(), self.alternative.median());
        match self.goal {
            Goal::Times(times) => ours <= times * alternative,
            Goal::Above(more) => ours <= alternative + more,
            Goal::AtMost(most) => ours <= most,
            Goal::Less => ours < alternative,
        }
    }

    fn goal(&self) -> String {
        let unit = self.unit.name();
        match self.goal {
            Goal::Times(times) => format!("<= {times} x"),
            Goal::Above(more) => format!("<= alternative + {more} {unit}"),
            Goal::AtMost(most) => format!("<= {most} {unit}"),
            Goal::Less => "< alternative".to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let spread = |samples: &Samples| {
            json!({
                "n": samples.count(),
                "p10": round(samples.quantile(0.1)),
                "p50": round(samples.median()),
                "p90": round(samples.quantile(0.9)),
                "p99": round(samples.quantile(0.99)),
            })
        };
        json!({
            "name": self.name,
            "unit": self.unit.name(),
            "ours": round(self.ours.median()),
            "alternative": round(self.alternative.median()),
            "ratio": round(self.ratio()),
            "goal": self.goal(),
            "met": self.met(),
            "spread": {"ours": spread(&self.ours), "alternative": spread(&self.alternative)},
        })
    }
}

/// The table, and below it how each row was measured.
pub(crate) struct Table<'a> {
    pub(crate) rows: &'a [Row],
    pub(crate) machine: &'a str,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | ours | alternative | ratio | goal | met |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in self.rows {
            writeln!(
                f,
                "| {} | {} | {}: {} | {} | {} | {} |",
                row.name,
                cell(&row.ours, row.unit),
                row.alternative_name,
                cell(&row.alternative, row.unit),
                number(row.ratio()),
                row.goal(),
                if row.met() { "yes" } else { "**no**" },
            )?;
        }
        writeln!(
            f,
            "\nMedian (10th to 90th percentile; n), each row's two sides alternated in one run. {}",
            self.machine
        )?;
        for row in self.rows {
            writeln!(f, "- *{}*: {}", row.name, row.how)?;
        }
        Ok(())
    }
}

/// Writes the list for programs.
pub(crate) fn write_json(file: &Path, rows: &[Row]) -> Result<()> {
    let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
    let text = serde_json::to_string_pretty(&rows)? + "\n";
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

fn cell(samples: &Samples, unit: Unit) -> String {
    let mut spread = format!(
        "{}-{}",
        number(samples.quantile(0.1)),
        number(samples.quantile(0.9)),
    );
    if samples.count() >= ENOUGH_FOR_P99 {
        spread.push_str(&format!("; p99 {}", number(samples.quantile(0.99))));
    }
    format!(
        "{} {} ({spread}; n={})",
        number(samples.median()),
        unit.name(),
        samples.count()
    )
}

/// Three digits that matter.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: Goal, ours: f64, alternative: f64) -> Row {
        let samples = |value: f64| {
            let mut samples = Samples::default();
            samples.push(value);
            samples
        };
        Row {
            name: "row",
            alternative_name: "by hand",
            unit: Unit::Milliseconds,
            ours: samples(ours),
            alternative: samples(alternative),
            goal,
            how: "so".to_owned(),
        }
    }

    #[test]
    fn a_goal_is_met_up_to_its_bound_and_not_beyond() {
        assert!(row(Goal::Times(1.5), 15.0, 10.0).met());
        assert!(!row(Goal::Times(1.5), 15.1, 10.0).met());
        assert!(row(Goal::Above(10.0), 20.0, 10.0).met());
        assert!(!row(Goal::Above(10.0), 20.1, 10.0).met());
        assert!(!row(Goal::AtMost(12.0), 12.1, 300.0).met());
        assert!(!row(Goal::Less, 10.0, 10.0).met());
    }

    #[test]
    fn a_goal_without_samples_is_not_met() {
        let mut unmeasured = row(Goal::AtMost(30.0), 1.0, 2.0);
        unmeasured.ours = Samples::default();
        assert!(!unmeasured.met());
    }

    #[test]
    fn the_json_has_the_promised_keys() {
        let json = row(Goal::Times(1.5), 15.0, 10.0).to_json();
        assert_eq!(json["unit"], "ms");
        assert_eq!(json["ratio"], 1.5);
        assert_eq!(json["goal"], "<= 1.5 x");
        assert_eq!(json["met"], true);
        for key in ["name", "ours", "alternative"] {
            assert!(!json[key].is_null(), "{key}");
        }
    }

    #[test]
    fn the_table_is_one_line_per_row() {
        let rows = [row(Goal::Less, 1.234, 2000.4)];
        let text = Table {
            rows: &rows,
            machine: "1 core.",
        }
        .to_string();
        let line = text.lines().nth(2).unwrap();
        assert_eq!(
            line,
            "| row | 1.23 ms (1.23-1.23; n=1) | by hand: 2000 ms (2000-2000; n=1) | 0.001 | \
             < alternative | yes |"
        );
    }
}
