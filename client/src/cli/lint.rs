//! `seedpod lint`.

use anstream::{eprint, eprintln};
use seedpod_manifest::ObjectKind;

use super::{
    args::LintArgs,
    exit::{Reported, Usage},
    files,
    findings::Finding,
    output::{
        self,
        style::{ERROR, GOOD, RESET},
    },
};

/// What `seedpodd` allows when nothing else is configured.
const MAX_PODS: usize = 64;
const MAX_BYTES: usize = 4 << 20;

pub(crate) fn run(args: LintArgs) -> anyhow::Result<()> {
    let LintArgs {
        dir,
        files,
        node,
        checks,
    } = args;
    let manifests = files::read_any(dir.as_deref(), &files)?;
    let options = seedpod_manifest::Options {
        node: node
            .parse()
            .map_err(|error| Usage(format!("--node: {error}")))?,
        max_pods: MAX_PODS,
        max_bytes: MAX_BYTES,
        field_validation: checks.validation.into(),
        allow_secret_env: checks.allow_secret_env,
    };
    let texts: Vec<&str> = manifests
        .iter()
        .map(|manifest| manifest.text.as_str())
        .collect();
    match seedpod_manifest::check(&texts, &options) {
        Ok(checked) => {
            let warnings = count(checked.warnings.len(), "warning");
            for warning in checked.warnings {
                eprint!("{}", Finding::warning(warning).render(&manifests));
            }
            let mut what = count(checked.pods.len(), "pod");
            for kind in [ObjectKind::Secret, ObjectKind::ConfigMap] {
                let objects = checked.objects.iter();
                let number = objects.filter(|object| object.key().kind == kind).count();
                if number > 0 {
                    what = format!("{what}, {}", count(number, kind.as_str()));
                }
            }
            output::print(&format!("{GOOD}ok:{RESET} {what}, {warnings}\n"))
        }
        Err(violations) => {
            let errors = count(violations.len(), "error");
            for violation in violations {
                eprint!("{}", Finding::error(violation).render(&manifests));
            }
            eprintln!(
                "{ERROR}{errors}{RESET} in {}",
                count(manifests.len(), "file")
            );
            Err(Reported.into())
        }
    }
}

/// `1 pod`, `2 pods`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}
