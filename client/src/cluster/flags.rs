//! The flags of one program, as a table.

use std::collections::BTreeMap;

use serde_json::Value;

/// A program's flags, each once, in the order in which they were set.
#[derive(Debug, Clone)]
pub(super) struct Flags {
    program: &'static str,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    name: String,
    value: String,
    comment: Option<&'static str>,
}

impl Flags {
    pub(super) fn new(program: &'static str) -> Self {
        Self {
            program,
            rows: Vec::new(),
        }
    }

    /// Sets a flag, in its place when it is there, and else at the end.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.insert(name, value.into(), None)
    }

    /// The same, with a line that says why.
    pub(super) fn set_because(
        &mut self,
        name: &str,
        value: impl Into<String>,
        why: &'static str,
    ) -> &mut Self {
        self.insert(name, value.into(), Some(why))
    }

    fn insert(&mut self, name: &str, value: String, comment: Option<&'static str>) -> &mut Self {
        let row = Row {
            name: name.to_owned(),
            value,
            comment,
        };
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(found) => *found = row,
            None => self.rows.push(row),
        }
        self
    }

    /// Lets the user's flags, which the configuration's check has let pass, override these or add to them. Feature gates
    /// are taken one by one, so that those which are not named stay.
    pub(super) fn extra(&mut self, extra: &BTreeMap<String, String>) -> &mut Self {
        for (name, value) in extra {
            // The programs take both.
            let name = name.replace('_', "-");
            let there = self.rows.iter().find(|row| row.name == name);
            match there {
                Some(row) if name == "feature-gates" => {
                    let merged = merge(&row.value, value);
                    self.set(&name, merged)
                }
                _ => self.set(&name, value),
            };
        }
        self
    }

    /// `[PROGRAM, --NAME=VALUE, ...]` with comments for the writer of YAML.
    pub(super) fn command(&self) -> Value {
        let mut command = vec![Value::from(self.program)];
        for Row {
            name,
            value,
            comment,
        } in &self.rows
        {
            command.extend(comment.map(|comment| Value::String(format!("# {comment}"))));
            command.push(Value::String(format!("--{name}={value}")));
        }
        Value::Array(command)
    }
}

/// `A=x,B=y` with the pairs of the second instead of those of the first with the same names.
fn merge(ours: &str, theirs: &str) -> String {
    let pairs = |text: &str| -> BTreeMap<String, String> {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect()
    };
    let mut merged = pairs(ours);
    merged.extend(pairs(theirs));
    let pairs: Vec<String> = merged
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn extra(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn extra_flags_override_in_place_and_add_at_the_end() {
        let mut flags = Flags::new("program");
        flags.set_because("a", "1", "Why.").set("b-c", "2");
        flags.extra(&extra(&[("b_c", "3"), ("z", "5")]));
        assert_eq!(
            flags.command(),
            json!(["program", "# Why.", "--a=1", "--b-c=3", "--z=5"])
        );
    }

    #[test]
    fn feature_gates_are_merged() {
        let mut flags = Flags::new("program");
        flags.set("feature-gates", "A=true,B=true");
        flags.extra(&extra(&[("feature-gates", "B=false, C=true")]));
        let command = json!(["program", "--feature-gates=A=true,B=false,C=true"]);
        assert_eq!(flags.command(), command);
    }
}
