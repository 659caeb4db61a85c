//! The configuration file as it is written.

use std::{net::IpAddr, path::PathBuf};

use seedpod_manifest::NodeName;
use serde::Deserialize;

use super::joining::{KubeletSection, ResetSection};
use super::{
    Configuration, Handoff, KubeletRestart, Limits, Listen, Log, LogFormat, LogLevel, Projection,
    Readiness, TlsFiles,
    value::{
        AbsolutePath, Count, DurationText, OptionalAddress, OptionalEndpoint, OptionalSocket,
        PositiveDuration,
    },
};

const API_VERSION: &str = "seedpod.dev/v1alpha1";
const KIND: &str = "DaemonConfiguration";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    node_name: Option<String>,
    static_pod_path: Option<AbsolutePath>,
    state_directory: Option<AbsolutePath>,
    volumes_directory: Option<AbsolutePath>,
    #[serde(default)]
    secret_encryption: SecretEncryptionSection,
    container_runtime_endpoint: Option<OptionalEndpoint>,
    kubelet_root_directory: Option<AbsolutePath>,
    listen_address: Option<OptionalAddress>,
    socket_path: Option<OptionalSocket>,
    metrics_address: Option<OptionalAddress>,
    #[serde(default)]
    tls: TlsSection,
    #[serde(default)]
    log: LogSection,
    #[serde(default)]
    limits: LimitsSection,
    #[serde(default)]
    projection: ProjectionSection,
    #[serde(default)]
    readiness: ReadinessSection,
    kubelet_restart: Option<KubeletRestartSection>,
    #[serde(rename = "nodeIP")]
    node_ip: Option<IpAddr>,
    revision_history_limit: Option<Count<2, 1000>>,
    #[serde(default)]
    trial: TrialSection,
    #[serde(default)]
    events: EventsSection,
    #[serde(default)]
    handoff: HandoffSection,
    #[serde(default)]
    kubelet: KubeletSection,
    #[serde(default)]
    reset: ResetSection,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SecretEncryptionSection {
    key_file: Option<AbsolutePath>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TlsSection {
    cert_file: Option<AbsolutePath>,
    key_file: Option<AbsolutePath>,
    #[serde(rename = "clientCAFile")]
    client_ca_file: Option<AbsolutePath>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogSection {
    format: Option<LogFormat>,
    level: Option<LogLevel>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LimitsSection {
    max_pods_per_bundle: Option<Count<1, 1024>>,
    max_bundle_bytes: Option<Count<1024, 67_108_864>>,
    request_timeout: Option<PositiveDuration>,
    max_requests: Option<Count<1, 1024>>,
    max_requests_per_client: Option<Count<1, 1024>>,
    max_streams: Option<Count<1, 10_000>>,
    max_streams_per_client: Option<Count<1, 10_000>>,
    max_connections: Option<Count<1, 10_000>>,
    max_connections_per_client: Option<Count<1, 10_000>>,
    max_connection_age: Option<PositiveDuration>,
    handshake_timeout: Option<PositiveDuration>,
    max_pending_handshakes: Option<Count<1, 10_000>>,
    drain_timeout: Option<DurationText>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProjectionSection {
    nudge_for: Option<DurationText>,
    repair_drift: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadinessSection {
    wave_timeout: Option<PositiveDuration>,
    refused_after: Option<PositiveDuration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KubeletRestartSection {
    systemd_unit: Option<String>,
    command: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TrialSection {
    max_crashes: Option<Count<1, 100>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventsSection {
    max_events: Option<Count<100, 1_000_000>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HandoffSection {
    standby_after_start: Option<PositiveDuration>,
    standby_after: Option<PositiveDuration>,
}

/// Reads and checks the file's content; the error is complete but for the file's name.
pub(super) fn parse(text: &str) -> Result<Configuration, String> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Err(format!(
            "the file is empty; begin it with \"apiVersion: {API_VERSION}\" and \"kind: {KIND}\""
        ));
    }
    let mut key = String::new();
    let options = serde_saphyr::options! { with_snippet: false };
    let file = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        serde_path_to_error::deserialize::<_, File>(yaml).map_err(|error| {
            key = error.path().to_string();
            error.into_inner()
        })
    })
    .map_err(|error| describe(&error, &key))?;
    file.check()
}

/// `key: what is wrong, with line and column`.
fn describe(error: &serde_saphyr::Error, key: &str) -> String {
    // The path of the whole file is "."; "?" stands for a key that has no name yet.
    let key = key.trim_end_matches('?').trim_end_matches('.');
    if key.is_empty() {
        error.to_string()
    } else {
        format!("{key}: {error}")
    }
}

impl File {
    fn check(self) -> Result<Configuration, String> {
        let Self {
            api_version,
            kind,
            node_name,
            static_pod_path,
            state_directory,
            volumes_directory,
            secret_encryption,
            container_runtime_endpoint,
            kubelet_root_directory,
            listen_address,
            socket_path,
            metrics_address,
            tls,
            log,
            limits,
            projection,
            readiness,
            kubelet_restart,
            node_ip,
            revision_history_limit,
            trial,
            events,
            handoff,
            kubelet,
            reset,
        } = self;

        if api_version != API_VERSION {
            return Err(format!(
                "apiVersion: {api_version:?} is not known; write {API_VERSION}"
            ));
        }
        if kind != KIND {
            return Err(format!("kind: {kind:?} is not known; write {KIND}"));
        }

        let node_name = match node_name {
            Some(name) => name.parse().map_err(|error| format!("nodeName: {error}"))?,
            None => host_name()?,
        };
        let static_pod_path = path_or(static_pod_path, "/etc/kubernetes/manifests");
        let state_directory = path_or(state_directory, "/var/lib/seedpod");
        let volumes_directory = path_or(volumes_directory, "/run/seedpod/volumes");
        for (field, path) in [
            ("stateDirectory", &state_directory),
            ("volumesDirectory", &volumes_directory),
        ] {
            if path.starts_with(&static_pod_path) {
                return Err(format!(
                    "{field}: must not be staticPodPath or within it, since the kubelet takes every file there for a \
                     pod; write another directory"
                ));
            }
        }

        let encryption_key_file = secret_encryption.key_file.map(|path| path.0);
        if let Some(file) = &encryption_key_file {
            for (field, directory, why) in [
                (
                    "staticPodPath",
                    &static_pod_path,
                    "the kubelet takes every file there for a pod",
                ),
                (
                    "stateDirectory",
                    &state_directory,
                    "keys do not belong beside what they encrypt",
                ),
                (
                    "volumesDirectory",
                    &volumes_directory,
                    "everything there is Seedpod's own",
                ),
            ] {
                if file.starts_with(directory) {
                    return Err(format!(
                        "secretEncryption.keyFile: must not be within {field}, since {why}; put it somewhere else, such as \
                         /etc/seedpod/encryption-keys.yaml"
                    ));
                }
            }
        }

        let kubelet_root_directory = path_or(kubelet_root_directory, "/var/lib/kubelet");
        let own = [
            ("staticPodPath", static_pod_path.as_path()),
            ("stateDirectory", &state_directory),
            ("volumesDirectory", &volumes_directory),
        ];
        let kubelet_files = kubelet.check(&own)?;
        let reset_directories = reset.check(&own, &kubelet_root_directory)?;

        let listen_address =
            listen_address.map_or_else(|| Some(([0, 0, 0, 0], 10290).into()), |address| address.0);
        let listen = match listen_address {
            Some(address) => Some(Listen {
                address,
                tls: tls.check()?,
            }),
            None => None,
        };
        let socket_path =
            socket_path.map_or_else(|| Some("/run/seedpod/seedpod.sock".into()), |path| path.0);
        if listen.is_none() && socket_path.is_none() {
            return Err(
                "listenAddress, socketPath: both are empty, so nobody could reach the \
                        daemon; set one of them"
                    .to_owned(),
            );
        }
        let metrics_address = metrics_address
            .map_or_else(|| Some(([127, 0, 0, 1], 10291).into()), |address| address.0);

        Ok(Configuration {
            node_name,
            static_pod_path,
            state_directory,
            volumes_directory,
            encryption_key_file,
            container_runtime_endpoint: container_runtime_endpoint.and_then(|endpoint| endpoint.0),
            kubelet_root_directory,
            listen,
            socket_path,
            metrics_address,
            log: Log {
                format: log.format.unwrap_or_default(),
                level: log.level.unwrap_or_default(),
            },
            limits: limits.fill(),
            projection: projection.fill(),
            readiness: readiness.fill(),
            kubelet_files,
            reset_directories,
            kubelet_restart: kubelet_restart
                .map(KubeletRestartSection::check)
                .transpose()?,
            node_ip,
            revision_history_limit: revision_history_limit.map_or(10, Count::size),
            trial_max_crashes: trial
                .max_crashes
                .map_or(3, |count| u32::try_from(count.size()).unwrap_or(u32::MAX)),
            max_events: events.max_events.map_or(20_000, Count::size),
            handoff: handoff.fill(),
        })
    }
}

fn path_or(given: Option<AbsolutePath>, default: &str) -> PathBuf {
    given.map_or_else(|| default.into(), |path| path.0)
}

/// The node's name as the kubelet finds it without `--hostname-override`.
fn host_name() -> Result<NodeName, String> {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().parse().map_err(|error| {
        format!("nodeName: is not set, and the host's name will not do: {error}; set nodeName")
    })
}

impl TlsSection {
    fn check(self) -> Result<TlsFiles, String> {
        let needed = |file: Option<AbsolutePath>, key, what| {
            file.map(|path| path.0).ok_or_else(|| {
                format!(
                    "{key}: is not set, and listenAddress needs it: {what}. `seedpod pki init` and \
                     `seedpod pki issue` make one; or set listenAddress to \"\" to use the Unix \
                     socket only"
                )
            })
        };
        Ok(TlsFiles {
            cert_file: needed(self.cert_file, "tls.certFile", "the server's certificate")?,
            key_file: needed(
                self.key_file,
                "tls.keyFile",
                "the key of the server's certificate",
            )?,
            client_ca_file: needed(
                self.client_ca_file,
                "tls.clientCAFile",
                "the authority whose client certificates are accepted",
            )?,
        })
    }
}

impl LimitsSection {
    fn fill(self) -> Limits {
        let default = Limits::default();
        Limits {
            max_pods_per_bundle: self
                .max_pods_per_bundle
                .map_or(default.max_pods_per_bundle, Count::size),
            max_bundle_bytes: self
                .max_bundle_bytes
                .map_or(default.max_bundle_bytes, Count::size),
            request_timeout: self
                .request_timeout
                .map_or(default.request_timeout, |given| given.0),
            max_requests: self.max_requests.map_or(default.max_requests, Count::size),
            max_requests_per_client: self
                .max_requests_per_client
                .map_or(default.max_requests_per_client, Count::size),
            max_streams: self.max_streams.map_or(default.max_streams, Count::size),
            max_streams_per_client: self
                .max_streams_per_client
                .map_or(default.max_streams_per_client, Count::size),
            max_connections: self
                .max_connections
                .map_or(default.max_connections, Count::size),
            max_connections_per_client: self
                .max_connections_per_client
                .map_or(default.max_connections_per_client, Count::size),
            max_connection_age: self
                .max_connection_age
                .map_or(default.max_connection_age, |given| given.0),
            handshake_timeout: self
                .handshake_timeout
                .map_or(default.handshake_timeout, |given| given.0),
            max_pending_handshakes: self
                .max_pending_handshakes
                .map_or(default.max_pending_handshakes, Count::size),
            drain_timeout: self
                .drain_timeout
                .map_or(default.drain_timeout, |given| given.0),
        }
    }
}

impl ReadinessSection {
    fn fill(self) -> Readiness {
        let default = Readiness::default();
        Readiness {
            wave_timeout: self
                .wave_timeout
                .map_or(default.wave_timeout, |given| given.0),
            refused_after: self
                .refused_after
                .map_or(default.refused_after, |given| given.0),
        }
    }
}

impl HandoffSection {
    fn fill(self) -> Handoff {
        let default = Handoff::default();
        Handoff {
            standby_after_start: self
                .standby_after_start
                .map_or(default.standby_after_start, |given| given.0),
            standby_after: self
                .standby_after
                .map_or(default.standby_after, |given| given.0),
        }
    }
}

impl KubeletRestartSection {
    fn check(self) -> Result<KubeletRestart, String> {
        match (self.systemd_unit, self.command) {
            (Some(unit), None) if !unit.is_empty() && !unit.starts_with('-') => {
                Ok(KubeletRestart::SystemdUnit(unit))
            }
            (Some(unit), None) => Err(format!(
                "kubeletRestart.systemdUnit: {unit:?} is not the name of a unit; write for example kubelet.service"
            )),
            (None, Some(command)) if command.first().is_some_and(|path| path.starts_with('/')) => {
                Ok(KubeletRestart::Command(command))
            }
            (None, Some(_)) => Err(
                "kubeletRestart.command: must be a list that begins with the absolute path of a program; no shell \
                 reads it"
                    .to_owned(),
            ),
            _ => Err(
                "kubeletRestart: set either systemdUnit or command; leave kubeletRestart out if the kubelet must not \
                 be restarted"
                    .to_owned(),
            ),
        }
    }
}

impl ProjectionSection {
    fn fill(self) -> Projection {
        let default = Projection::default();
        Projection {
            nudge_for: self.nudge_for.map_or(default.nudge_for, |given| given.0),
            repair_drift: self.repair_drift.unwrap_or(default.repair_drift),
        }
    }
}
