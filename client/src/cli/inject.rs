//! `seedpod inject`.

use std::fmt::Write as _;

use anstream::{eprint, eprintln};
use seedpod_client::{
    Code, Error, FieldValidation, InjectPods, Injected, Trial, TrialConfirmation, TrialStatus,
};

use super::{
    args::{CheckArgs, ConnectionArgs, Format, InjectArgs, Validation},
    changes, connection,
    exit::Reported,
    files::{self, Manifest},
    findings,
    lint::count,
    output::{
        self,
        style::{ERROR, RESET},
    },
    time::short,
    wait,
};

pub(crate) async fn run(args: InjectArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let InjectArgs {
        target,
        files,
        dry_run,
        waiting,
        trial,
        manual_confirm,
        expected_revision,
        request_id,
        checks,
        output,
    } = args;
    let (bundle, manifests) = files::read_bundle(&target, &files)?;
    let mut request = InjectPods::new(&bundle)
        .manifests(manifests.iter().map(|manifest| manifest.text.as_str()))
        .validate_only(dry_run)
        .field_validation(checks.validation.into())
        .allow_secret_env(checks.allow_secret_env);
    if let Some(revision) = expected_revision {
        request = request.expected_revision(revision);
    }
    if let Some(id) = request_id {
        request = request.request_id(id);
    }
    if let Some(timeout) = trial {
        let trial = Trial::new(timeout);
        request = request.trial(if manual_confirm {
            trial.confirmed_explicitly()
        } else {
            trial
        });
    }
    let client = connection::connect(connection).await?;
    let injected = match client.inject(&request).await {
        Ok(injected) => injected,
        Err(error) => return Err(refused(error, &request, &manifests, checks)),
    };
    for warning in findings::warnings_from_server(&injected.warnings, &manifests, checks) {
        eprint!("{}", warning.render(&manifests));
    }
    print(&injected, dry_run, output)?;
    wait::if_asked(&client, &injected.bundle, waiting).await
}

/// Faults in the manifests are shown one by one with their files; all else goes on to be reported as usual.
fn refused(
    error: Error,
    request: &InjectPods,
    manifests: &[Manifest],
    checks: CheckArgs,
) -> anyhow::Error {
    let violations = error.field_violations();
    if violations.is_empty() {
        if outcome_unknown(&error) {
            eprintln!(
                "Whether the pods were injected is not known. To find out, or to do it, repeat the command with \
                 --request-id {}",
                request.id()
            );
        }
        return error.into();
    }
    for finding in findings::from_server(violations, manifests, checks) {
        eprint!("{}", finding.render(manifests));
    }
    let reason = error.reason().unwrap_or("INVALID_ARGUMENT");
    eprintln!(
        "{ERROR}{}{RESET}; nothing was changed [{reason}]",
        count(violations.len(), "error")
    );
    if let Some(more) = error
        .server()
        .and_then(|server| server.metadata.get("violations_left_out"))
    {
        eprintln!(
            "The node found {more} more, which do not fit into its answer; `seedpod lint` shows all."
        );
    }
    Reported.into()
}

pub(crate) fn outcome_unknown(error: &Error) -> bool {
    match error {
        Error::Deadline { .. } | Error::Broken { .. } => true,
        Error::Server(server) => server.code == Code::DeadlineExceeded,
        _ => false,
    }
}

fn print(injected: &Injected, dry_run: bool, format: Format) -> anyhow::Result<()> {
    let Injected {
        bundle,
        changes,
        object_changes,
        ..
    } = injected;
    let name = || vec![format!("bundle/{}", bundle.name)];
    if output::print_for_programs(format, injected, name)? {
        return Ok(());
    }
    let unchanged = changes::are_none(changes, object_changes);
    let mut text = match (dry_run, unchanged) {
        (false, false) => format!(
            "bundle {} is at revision {}\n",
            bundle.name, bundle.revision
        ),
        (false, true) => format!(
            "bundle {} stays at revision {}: nothing differs\n",
            bundle.name, bundle.revision
        ),
        (true, false) => format!(
            "dry run: bundle {} would be at revision {}\n",
            bundle.name, bundle.revision
        ),
        (true, true) => format!(
            "dry run: bundle {} would stay at revision {}\n",
            bundle.name, bundle.revision
        ),
    };
    if let Some(trial) = &bundle.trial {
        let _ = writeln!(text, "  {}", on_trial(trial));
    }
    changes::push(&mut text, changes, object_changes);
    output::print(&text)
}

/// What becomes of the revision if nothing good does.
fn on_trial(trial: &TrialStatus) -> String {
    let time = trial.remaining.or(trial.timeout).unwrap_or_default();
    let needed = match trial.confirmation {
        TrialConfirmation::Explicit => "`seedpod confirm` is given",
        _ => "all pods are ready",
    };
    let otherwise = match trial.fallback_revision {
        0 => "the bundle is removed".to_owned(),
        revision => format!("the node goes back to revision {revision}"),
    };
    format!(
        "on trial: unless {needed} within {}, {otherwise}",
        short(time)
    )
}

impl From<Validation> for FieldValidation {
    fn from(validation: Validation) -> Self {
        match validation {
            Validation::Strict => Self::Strict,
            Validation::Warn => Self::Warn,
        }
    }
}
