//! `ConfigureKubelet`.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use seedpod_proto::v1::{ConfigureKubeletRequest, ConfigureKubeletResponse};
use tonic::Status;
use zeroize::Zeroizing;

use crate::{
    error::chain,
    events::{EventKind, NewEvent},
    grpc::{
        Api,
        audit::{self, Caller, Outcome},
        reason::Reason,
        status::{self, Fault},
    },
    host::{Content, Host, Wanted},
    kube::Kube,
    kubelet::Sync,
};

impl Api {
    pub(super) async fn configure_and_record(
        &self,
        caller: &Caller,
        request: ConfigureKubeletRequest,
    ) -> Result<ConfigureKubeletResponse, Status> {
        let validate_only = request.validate_only;
        let result = self.configure(caller, request).await;
        if !validate_only {
            let outcome = match &result {
                Ok(done) if done.changed.is_empty() && !done.restarted => Outcome::Unchanged(None),
                Ok(_) => Outcome::Done,
                Err(status) => Outcome::Refused(status),
            };
            audit::record(caller, "ConfigureKubelet", "", &outcome);
        }
        result
    }

    async fn configure(
        &self,
        caller: &Caller,
        request: ConfigureKubeletRequest,
    ) -> Result<ConfigureKubeletResponse, Status> {
        let (validate_only, restart_unsynced) = (request.validate_only, request.restart_unsynced);
        let given = Given::parse(request, &self.info.host)?;
        let has_files = !given.is_empty();
        let _alone = self.info.host.lock().await;
        let host = self.info.host.clone();
        let (changes, due) = self
            .on_disk(move || Ok((given.pending(&host)?, host.restart_is_due()?)))
            .await?;
        let unsynced = self.handle.kubelet().borrow().sync == Sync::Unsynced;
        let restart = !changes.is_empty() || due || (restart_unsynced && unsynced);
        if (restart || has_files) && !self.handle.restarter().is_allowed() {
            return Err(not_restartable().into());
        }
        let changed: Vec<String> = changes
            .iter()
            .map(|it| it.path.display().to_string())
            .collect();
        if restart && !validate_only {
            self.change_kubelet(caller, changes).await?;
        }
        Ok(ConfigureKubeletResponse {
            changed,
            restarted: restart,
        })
    }

    /// Changes the kubelet's files and restarts it. The caller holds the host's lock.
    pub(super) async fn change_kubelet(
        &self,
        caller: &Caller,
        changes: Vec<Wanted>,
    ) -> Result<(), Status> {
        let names: Vec<String> = changes
            .iter()
            .map(|it| {
                let what = if it.content.is_some() {
                    "was written"
                } else {
                    "was removed"
                };
                format!("{} {what}", it.path.display())
            })
            .collect();
        let host = self.info.host.clone();
        self.on_disk(move || host.carry_out(&changes)).await?;
        let said = self.handle.restarter().restart().await.map_err(|error| {
            let message = format!(
                "kubeletRestart did not restart the kubelet: {}; its files are changed, and the \
                 same call again restarts it when that is put right",
                chain(&error)
            );
            Fault::new(Reason::KubeletRestartFailed, message)
        })?;
        let host = self.info.host.clone();
        self.on_disk(move || host.restarted()).await?;
        tracing::info!(said, "restarted the kubelet");
        let message = if names.is_empty() {
            "the kubelet was restarted, since it had not heard from its API server, or a restart \
             was due"
                .to_owned()
        } else {
            format!("{}, and the kubelet was restarted", names.join(", "))
        };
        let event = NewEvent {
            kind: EventKind::KubeletConfigured,
            bundle: None,
            revision: 0,
            pod: None,
            message,
            client: String::new(),
        };
        self.handle.record(event.by(caller.who.as_str()));
        Ok(())
    }

    /// Does something with the kubelet's files, on a thread that nothing else waits for.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Status> {
        let done = tokio::task::spawn_blocking(act)
            .await
            .map_err(|_| status::internal("the daemon failed to change the kubelet's files"))?;
        done.map_err(|error| {
            let message = format!(
                "the kubelet's files cannot be read or written: {error}; put that right and call \
                 again"
            );
            Fault::new(Reason::KubeletFilesFailed, message).into()
        })
    }
}

pub(super) fn not_restartable() -> Fault {
    let message = "the daemon may not restart the kubelet, which its new files need; set \
                   kubeletRestart in its configuration";
    Fault::new(Reason::KubeletNotConfigurable, message)
}

/// The files as the request wants them.
struct Given {
    kubeconfig: Option<Wanted>,
    bootstrap: Option<Wanted>,
    client_ca: Option<Wanted>,
}

impl Given {
    fn parse(request: ConfigureKubeletRequest, host: &Host) -> Result<Self, Fault> {
        let ConfigureKubeletRequest {
            kubeconfig,
            bootstrap_kubeconfig,
            client_ca,
            ..
        } = request;
        let [kubeconfig, bootstrap, client_ca] =
            [kubeconfig, bootstrap_kubeconfig, client_ca].map(|text| text.map(Zeroizing::new));
        let is_full =
            |text: &Option<Zeroizing<String>>| text.as_ref().is_some_and(|text| !text.is_empty());
        if is_full(&kubeconfig) && is_full(&bootstrap) {
            return Err(Fault::field(
                Reason::InvalidKubeconfig,
                "kubeconfig",
                "a kubelet with a bootstrap kubeconfig makes this file itself; leave one of the \
                 two out",
            ));
        }
        check_kubeconfig("kubeconfig", kubeconfig.as_deref())?;
        check_kubeconfig("bootstrap_kubeconfig", bootstrap.as_deref())?;
        check_certificates("client_ca", client_ca.as_deref())?;
        let files = host.files();
        let wanted =
            |text: Option<Zeroizing<String>>, field, path: &Option<std::path::PathBuf>, key| {
                let Some(text) = text else { return Ok(None) };
                match path {
                    Some(path) => Ok(Some(Wanted {
                        path: path.clone(),
                        content: Some(text).filter(|text| !text.is_empty()).map(Content),
                    })),
                    None => {
                        let message = format!(
                            "{field}: the daemon has no path for it; set kubelet.{key} in its \
                         configuration"
                        );
                        Err(Fault::new(Reason::KubeletNotConfigurable, message)
                            .meta("field", &field))
                    }
                }
            };
        Ok(Self {
            kubeconfig: wanted(
                kubeconfig,
                "kubeconfig",
                &files.kubeconfig,
                "kubeconfigFile",
            )?,
            bootstrap: wanted(
                bootstrap,
                "bootstrap_kubeconfig",
                &files.bootstrap_kubeconfig,
                "bootstrapKubeconfigFile",
            )?,
            client_ca: wanted(client_ca, "client_ca", &files.client_ca, "clientCAFile")?,
        })
    }

    fn is_empty(&self) -> bool {
        let Self {
            kubeconfig,
            bootstrap,
            client_ca,
        } = self;
        [kubeconfig, bootstrap, client_ca]
            .iter()
            .all(|it| it.is_none())
    }

    /// What is not as it is to be.
    fn pending(self, host: &Host) -> std::io::Result<Vec<Wanted>> {
        let Self {
            mut kubeconfig,
            bootstrap,
            client_ca,
        } = self;
        let bootstraps = bootstrap.as_ref().is_some_and(|it| it.content.is_some());
        let mut changes = host.pending(bootstrap.into_iter().collect())?;
        // The kubelet has its own there since, from this very bootstrap kubeconfig.
        if bootstraps && changes.is_empty() {
            kubeconfig = kubeconfig.filter(|it| it.content.is_some());
        }
        changes.extend(host.pending(kubeconfig.into_iter().chain(client_ca).collect())?);
        Ok(changes)
    }
}

fn check_kubeconfig(field: &str, text: Option<&String>) -> Result<(), Fault> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    match Kube::from_kubeconfig(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(status::kubeconfig_fault(field, &error)),
    }
}

fn check_certificates(field: &str, text: Option<&String>) -> Result<(), Fault> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let wrong = |why: &str| {
        let description = format!("must be certificates of authorities in PEM: {why}");
        Err(Fault::field(Reason::InvalidClientCa, field, description))
    };
    if text.contains("PRIVATE KEY") {
        return wrong("there is a private key in it, which the kubelet has no use for");
    }
    let mut count = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let Ok(certificate) = certificate else {
            return wrong("a block in it cannot be read");
        };
        let mut roots = rustls::RootCertStore::empty();
        if roots.add(certificate).is_err() {
            return wrong("what is in a block is no certificate");
        }
        count += 1;
    }
    if count == 0 {
        return wrong("there is none in it");
    }
    Ok(())
}
