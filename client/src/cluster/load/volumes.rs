//! What is wrong with `extraVolumes`.

use seedpod_manifest::HOST_PATH_TYPES;

use super::Findings;
use crate::cluster::{ClusterConfiguration, HostPathMount, names, programs::SECRETS};

pub(super) fn check(configuration: &ClusterConfiguration, findings: &mut Findings) {
    for (program, extra) in [
        ("apiServer", &configuration.api_server.extra_volumes),
        (
            "controllerManager",
            &configuration.controller_manager.extra_volumes,
        ),
        ("scheduler", &configuration.scheduler.extra_volumes),
    ] {
        for (index, mount) in extra.iter().enumerate() {
            let field = format!("{program}.extraVolumes[{index}]");
            check_one(&field, mount, &extra[..index], findings);
        }
    }
}

fn check_one(
    field: &str,
    mount: &HostPathMount,
    before: &[HostPathMount],
    findings: &mut Findings,
) {
    let HostPathMount {
        name,
        host_path,
        mount_path,
        read_only: _,
        path_type,
    } = mount;
    let mut fault = |of: &str, message: String| findings.fault(format!("{field}.{of}"), message);
    if !names::is_dns_label(name) {
        fault(
            "name",
            "must be 1 to 63 lower-case letters, digits and \"-\", with a letter or digit at both ends".to_owned(),
        );
    } else if name == "secrets" {
        fault(
            "name",
            "is the name of the program's own volume; choose another".to_owned(),
        );
    } else if before.iter().any(|other| other.name == *name) {
        fault("name", format!("{name} is there twice; choose another"));
    }
    if !is_plain(host_path) {
        fault(
            "hostPath",
            "must be an absolute path on the nodes, without \"..\"".to_owned(),
        );
    }
    if !is_plain(mount_path) || mount_path.contains(':') {
        fault(
            "mountPath",
            "must be an absolute path in the container, without \"..\" and \":\"".to_owned(),
        );
    } else if is_within(mount_path, SECRETS) || is_within(SECRETS, mount_path) {
        fault(
            "mountPath",
            format!("would hide {SECRETS}, where the program's own files are; choose another"),
        );
    } else if before.iter().any(|other| {
        is_within(mount_path, &other.mount_path) && is_within(&other.mount_path, mount_path)
    }) {
        fault(
            "mountPath",
            format!("{mount_path} is there twice; choose another"),
        );
    }
    if !path_type.is_empty() && !HOST_PATH_TYPES.contains(&path_type.as_str()) {
        fault(
            "pathType",
            format!("must be one of {}, or left out", HOST_PATH_TYPES.join(", ")),
        );
    }
}

fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && path.split('/').any(|part| !part.is_empty())
        && !path.split('/').any(|part| part == "..")
        && !path.contains(char::is_control)
}

/// Whether a path is another one or below it.
fn is_within(path: &str, other: &str) -> bool {
    std::path::Path::new(path).starts_with(other)
}
