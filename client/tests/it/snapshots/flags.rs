//! `docs/self-hosting-flags.md` names each flag that is rendered, and no other.

use std::collections::BTreeSet;

use super::{Texts, snapshots, texts};

/// The flags of a chapter: those in the first column of its table.
fn documented(page: &str, program: &str) -> BTreeSet<String> {
    let chapter = page.split(&format!("\n## {program}\n")).nth(1).unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    let rows = chapter.lines().filter(|line| line.starts_with("| `--"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells
        .flat_map(|cell| cell.split(','))
        .map(|flag| flag.trim().trim_matches('`').to_owned())
        .collect()
}

/// The flags of a program in all snapshots, but for those that the clusters add.
fn rendered(texts: &Texts, program: &str) -> BTreeSet<String> {
    let manifest = format!("{program}.yaml");
    let texts = texts.iter().filter(|(path, _)| path.ends_with(&manifest));
    let lines = texts.flat_map(|(_, text)| text.lines());
    let flags = lines.filter_map(|line| {
        let flag = line.trim().strip_prefix("- ")?.trim_matches('"');
        flag.starts_with("--").then(|| flag.split('=').next())?
    });
    let own = ["--v", "--quota-backend-bytes", "--node-cidr-mask-size-ipv4"];
    flags
        .filter(|flag| !own.contains(flag))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_page_on_flags_names_what_is_rendered() {
    let page = snapshots().join("../../../docs/self-hosting-flags.md");
    let page = std::fs::read_to_string(page).unwrap();
    let texts = texts(&snapshots());
    for program in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "etcd",
    ] {
        assert_eq!(
            documented(&page, program),
            rendered(&texts, program),
            "{program}"
        );
    }
}
