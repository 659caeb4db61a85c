//! `seedpod inject`.

use std::fmt::Write as _;

use anstream::{eprint, eprintln};
use anstyle::Style;
use seedpod_client::{
    Change, ChangeType, Client, Code, Error, FieldValidation, InjectPods, Injected, Wait,
};

use super::{
    args::{ConnectionArgs, Format, InjectArgs, Validation},
    connection,
    exit::Reported,
    files::{self, Manifest},
    findings,
    lint::count,
    output::{
        self,
        style::{BAD, BOLD, CHANGED, DIM, ERROR, GOOD, PLACE, RESET},
    },
    progress::Progress,
};

pub(crate) async fn run(args: InjectArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let InjectArgs {
        bundle,
        files,
        dry_run,
        wait,
        timeout,
        expected_revision,
        request_id,
        validation,
        output,
    } = args;
    let manifests = files::read(&files)?;
    let mut request = InjectPods::new(&bundle)
        .manifests(manifests.iter().map(|manifest| manifest.text.as_str()))
        .validate_only(dry_run)
        .field_validation(validation.into());
    if let Some(revision) = expected_revision {
        request = request.expected_revision(revision);
    }
    if let Some(id) = request_id {
        request = request.request_id(id);
    }
    let client = connection::connect(connection).await?;
    let injected = match client.inject(&request).await {
        Ok(injected) => injected,
        Err(error) => return Err(refused(error, &request, &manifests, validation)),
    };
    for warning in findings::warnings_from_server(&injected.warnings, &manifests, validation) {
        eprint!("{}", warning.render(&manifests));
    }
    print(&injected, dry_run, output)?;
    if wait {
        wait_ready(&client, &injected, timeout).await?;
    }
    Ok(())
}

/// Faults in the manifests are shown one by one with their files; all else goes on to be reported as usual.
fn refused(
    error: Error,
    request: &InjectPods,
    manifests: &[Manifest],
    validation: Validation,
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
    for finding in findings::from_server(violations, manifests, validation) {
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

fn outcome_unknown(error: &Error) -> bool {
    match error {
        Error::Deadline { .. } | Error::Broken { .. } => true,
        Error::Server(server) => server.code == Code::DeadlineExceeded,
        _ => false,
    }
}

fn print(injected: &Injected, dry_run: bool, format: Format) -> anyhow::Result<()> {
    let Injected {
        bundle, changes, ..
    } = injected;
    let name = || vec![format!("bundle/{}", bundle.name)];
    if output::print_for_programs(format, injected, name)? {
        return Ok(());
    }
    let unchanged = changes
        .iter()
        .all(|change| change.r#type == ChangeType::Unchanged);
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
    for change in changes {
        let (style, mark) = mark(change.r#type);
        let (word, namespace, name) = (change.r#type.as_str(), &change.namespace, &change.name);
        let _ = writeln!(text, "  {style}{mark} {word:<9}{RESET}  {namespace}/{name}");
        push_diff(&mut text, change);
    }
    output::print(&text)
}

/// The sign makes the kind of change plain without colours.
fn mark(change: ChangeType) -> (Style, char) {
    match change {
        ChangeType::Added => (GOOD, '+'),
        ChangeType::Replaced => (CHANGED, '~'),
        ChangeType::Removed => (BAD, '-'),
        ChangeType::Unchanged => (DIM, '='),
        _ => (Style::new(), '?'),
    }
}

fn push_diff(text: &mut String, change: &Change) {
    for line in change.diff.lines() {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => BOLD,
            [b'+', ..] => GOOD,
            [b'-', ..] => BAD,
            [b'@', ..] => PLACE,
            _ => Style::new(),
        };
        let _ = writeln!(text, "      {style}{line}{RESET}");
    }
}

async fn wait_ready(
    client: &Client,
    injected: &Injected,
    timeout: std::time::Duration,
) -> anyhow::Result<()> {
    let bundle = &injected.bundle;
    let mut progress = Progress::new();
    let wait = Wait::new(timeout).on_progress(|pods| progress.show(pods));
    let result = client.wait_ready(&bundle.name, bundle.revision, wait).await;
    progress.finish();
    let pods = result?;
    eprintln!(
        "{GOOD}{} of bundle {} ready{RESET}",
        count(pods.len(), "pod"),
        bundle.name
    );
    Ok(())
}

impl From<Validation> for FieldValidation {
    fn from(validation: Validation) -> Self {
        match validation {
            Validation::Strict => Self::Strict,
            Validation::Warn => Self::Warn,
        }
    }
}
