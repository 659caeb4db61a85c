//! `seedpod get secrets` and `seedpod get configmaps`.

use anstream::eprintln;
use comfy_table::Cell;
use seedpod_client::{Client, Object, ObjectKind};

use super::pods::check_bundle;
use crate::cli::{
    args::{Format, ObjectArgs},
    objects::{full_name, short_digest, used_by, word},
    output::{self, Columns, Items},
};

/// How many keys are named in the table before the others are only counted.
const NAMED: usize = 3;

pub(crate) async fn run(
    client: &Client,
    kind: ObjectKind,
    which: ObjectArgs,
    format: Format,
) -> anyhow::Result<()> {
    let ObjectArgs { name, bundle } = which;
    let mut objects = client.list_objects(bundle.as_deref(), Some(kind)).await?;
    if objects.is_empty() {
        check_bundle(client, bundle.as_deref()).await?;
    }
    if let Some(name) = &name {
        objects.retain(|object| object.name == *name || full_name(object) == *name);
        if objects.is_empty() {
            anyhow::bail!(
                "there is no {kind} {name:?}; `seedpod get {}s` lists all of them",
                word(kind)
            );
        }
    }
    let names = || {
        let label = |object| format!("{}/{}", word(kind), full_name(object));
        objects.iter().map(label).collect()
    };
    if output::print_for_programs(format, &Items { items: &objects }, names)? {
        return Ok(());
    }
    if objects.is_empty() {
        eprintln!("There are no {kind}s.");
        return Ok(());
    }
    if format == Format::Wide {
        keys(&objects, kind).print_whole()
    } else {
        table(&objects, kind).print()
    }
}

/// A line for each object.
fn table(objects: &[Object], kind: ObjectKind) -> Columns {
    let mut headings = vec!["BUNDLE", "NAMESPACE", "NAME", "KEYS", "REV", "USED BY"];
    if kind == ObjectKind::Secret {
        headings.insert(3, "TYPE");
    }
    let mut table = Columns::narrow(&headings);
    for object in objects {
        let mut row = begin(object, kind);
        row.extend([
            Cell::new(key_names(object)),
            Cell::new(object.revision),
            Cell::new(used_by(object)),
        ]);
        table.row(row);
    }
    table
}

/// A line for each key.
fn keys(objects: &[Object], kind: ObjectKind) -> Columns {
    let mut headings = vec![
        "BUNDLE",
        "NAMESPACE",
        "NAME",
        "KEY",
        "SIZE",
        "DIGEST",
        "IMMUTABLE",
        "REV",
        "USED BY",
    ];
    if kind == ObjectKind::Secret {
        headings.insert(3, "TYPE");
    }
    let mut table = Columns::narrow(&headings);
    for object in objects {
        let end = || {
            [
                Cell::new(if object.immutable { "yes" } else { "no" }),
                Cell::new(object.revision),
                Cell::new(used_by(object)),
            ]
        };
        for key in &object.keys {
            let mut row = begin(object, kind);
            row.extend([
                Cell::new(&key.key),
                Cell::new(key.size),
                Cell::new(short_digest(&key.digest)),
            ]);
            row.extend(end());
            table.row(row);
        }
        if object.keys.is_empty() {
            let mut row = begin(object, kind);
            row.extend(["-", "-", "-"].map(Cell::new));
            row.extend(end());
            table.row(row);
        }
    }
    table
}

fn begin(object: &Object, kind: ObjectKind) -> Vec<Cell> {
    let mut row = vec![
        Cell::new(&object.bundle),
        Cell::new(&object.namespace),
        Cell::new(&object.name),
    ];
    if kind == ObjectKind::Secret {
        row.push(Cell::new(&object.r#type));
    }
    row
}

fn key_names(object: &Object) -> String {
    let keys = &object.keys;
    // Counting a single one would take as much room as naming it.
    let named = if keys.len() <= NAMED + 1 {
        keys.len()
    } else {
        NAMED
    };
    let names: Vec<&str> = keys[..named].iter().map(|key| key.key.as_str()).collect();
    match (keys.len(), keys.len() - named) {
        (0, _) => "-".to_owned(),
        (_, 0) => names.join(","),
        (_, more) => format!("{},+{more}", names.join(",")),
    }
}
