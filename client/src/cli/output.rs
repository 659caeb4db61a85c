//! Printing: tables, JSON, YAML, names.

use std::{io::Write as _, iter};

use anstream::stream::IsTerminal as _;
use anyhow::Context as _;
use comfy_table::{Cell, Color, ColumnConstraint, Table, Width, presets};
use serde::Serialize;

use super::args::Format;

/// The styles of text. Where there is no colour, the words alone must do.
pub(crate) mod style {
    use anstyle::{AnsiColor, Reset, Style};

    pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
    pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
    pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    pub(crate) const BAD: Style = AnsiColor::Red.on_default();
    pub(crate) const CHANGED: Style = AnsiColor::Yellow.on_default();
    pub(crate) const PLACE: Style = AnsiColor::Cyan.on_default();
    pub(crate) const BOLD: Style = Style::new().bold();
    pub(crate) const DIM: Style = Style::new().dimmed();
    pub(crate) const RESET: Reset = Reset;
}

/// Writes data to stdout, without colours where they are not wanted.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context("cannot write to stdout")
}

/// Writes to stdout what others have written, as it is: its escape sequences are its own business.
pub(crate) fn print_raw(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context("cannot write to stdout")
}

/// One JSON object per line.
pub(crate) fn json_lines<T: Serialize>(values: &[T]) -> anyhow::Result<String> {
    let mut text = String::new();
    for value in values {
        text += &serde_json::to_string(value)?;
        text.push('\n');
    }
    Ok(text)
}

/// Prints what is not for people: `value` as JSON or YAML, or the names; `Ok(false)` when it is for people.
pub(crate) fn print_for_programs<T: Serialize>(
    format: Format,
    value: &T,
    names: impl FnOnce() -> Vec<String>,
) -> anyhow::Result<bool> {
    let text = match format {
        Format::Table | Format::Wide => return Ok(false),
        Format::Json => serde_json::to_string_pretty(value)? + "\n",
        Format::Yaml => serde_saphyr::to_string(value)?,
        Format::Name => names().into_iter().map(|name| name + "\n").collect(),
    };
    print(&text)?;
    Ok(true)
}

/// Several things, as `-o json` and `-o yaml` print them.
#[derive(Serialize)]
pub(crate) struct Items<'a, T> {
    pub(crate) items: &'a [T],
}

/// A table as kubectl's: no lines, upper-case headings, three spaces between the columns.
pub(crate) struct Columns(Table);

impl Columns {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self::with_gap(headings, 3)
    }

    /// With less space between the columns, for many of them.
    pub(crate) fn narrow(headings: &[&str]) -> Self {
        Self::with_gap(headings, 2)
    }

    fn with_gap(headings: &[&str], gap: u16) -> Self {
        let mut table = Table::new();
        // Colours are put in always; `print` takes them out again where they are not wanted.
        table
            .load_style(presets::NOTHING)
            .enforce_styling()
            .set_header(headings);
        for column in table.column_iter_mut() {
            column.set_padding((0, gap));
        }
        Self(table)
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.0.add_row(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the columns at least so wide, and returns how wide they are.
    pub(crate) fn align(&mut self, least: &[u16]) -> Vec<u16> {
        let widths: Vec<u16> = self
            .0
            .column_max_content_widths()
            .into_iter()
            .zip(least.iter().copied().chain(iter::repeat(0)))
            .map(|(own, least)| own.max(least))
            .collect();
        for (column, width) in self.0.column_iter_mut().zip(&widths) {
            let gap = column.padding_width();
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + gap)));
        }
        widths
    }

    /// On a terminal, lines that are too long end in an ellipsis instead of being wrapped.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        self.print_within(terminal_width(), 0)
    }

    /// For what must be read to its end.
    pub(crate) fn print_whole(&self) -> anyhow::Result<()> {
        self.print_within(None, 0)
    }

    /// As [`Self::print`], without the headings.
    pub(crate) fn print_rows(&self) -> anyhow::Result<()> {
        self.print_within(terminal_width(), 1)
    }

    /// As [`Self::print_whole`], without the headings.
    pub(crate) fn print_rows_whole(&self) -> anyhow::Result<()> {
        self.print_within(None, 1)
    }

    fn print_within(&self, width: Option<usize>, skip: usize) -> anyhow::Result<()> {
        let lines: Vec<String> = self
            .0
            .lines()
            .skip(skip)
            .map(|line| shorten(line.trim_end(), width))
            .collect();
        print(&(lines.join("\n") + "\n"))
    }
}

/// The width of the terminal that stdout is, if it is one.
fn terminal_width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width >= 40)
}

/// Cuts a line to a width in characters; escape sequences take none.
fn shorten(line: &str, width: Option<usize>) -> String {
    let Some(width) = width else {
        return line.to_owned();
    };
    if anstream::adapter::strip_str(line)
        .to_string()
        .chars()
        .count()
        <= width
    {
        return line.to_owned();
    }
    let mut kept = String::new();
    let mut visible = 0;
    let mut in_escape = false;
    for character in line.chars() {
        if character == '\u{1b}' {
            in_escape = true;
        }
        if !in_escape {
            visible += 1;
            if visible == width {
                break;
            }
        }
        kept.push(character);
        if in_escape && character.is_ascii_alphabetic() {
            in_escape = false;
        }
    }
    format!("{kept}…{}", style::RESET)
}

/// A cell for a state: green when good, red when bad, yellow on the way.
pub(crate) fn state_cell(word: &str, good: bool, bad: bool) -> Cell {
    let color = match (good, bad) {
        (true, _) => Color::DarkGreen,
        (_, true) => Color::DarkRed,
        _ => Color::DarkYellow,
    };
    Cell::new(word).fg(color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_the_width_that_is_seen() {
        assert_eq!(shorten("abcdef", None), "abcdef");
        assert_eq!(shorten("abcdef", Some(6)), "abcdef");
        assert_eq!(
            anstream::adapter::strip_str(&shorten("abcdef", Some(4))).to_string(),
            "abc…"
        );
        let coloured = "\u{1b}[31mabc\u{1b}[0mdef";
        assert_eq!(
            anstream::adapter::strip_str(&shorten(coloured, Some(5))).to_string(),
            "abcd…"
        );
    }
}
