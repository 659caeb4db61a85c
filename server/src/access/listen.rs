//! The sockets for gRPC: bound first of all, and accepted from until the daemon stops.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Admissions, Full, Identity,
    connection::{Connection, Io},
    handshake::{Handshakes, Outcome},
    tls::{Credentials, TlsError},
};
use crate::{
    config::{Configuration, Limits},
    metrics::Metrics,
};

/// After a failed accept: most often descriptors have run out, and trying on at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("listenAddress: cannot listen on {address}")]
    Tcp {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("socketPath: cannot make the socket {}", path.display())]
    Unix {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("socketPath: another process listens on {}; is another seedpodd running?", path.display())]
    Taken { path: PathBuf },
    #[error("socketPath: {} is there and is not a socket; remove it or set another path", path.display())]
    NotASocket { path: PathBuf },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Bound sockets, not yet accepted from.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(super) tcp: Option<(TcpListener, Credentials)>,
    pub(super) unix: Option<UnixSocket>,
}

/// A bound Unix socket, whose file goes when it does.
#[derive(Debug)]
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
}

impl Listeners {
    /// Binds what the configuration asks for.
    pub(crate) async fn bind(configuration: &Configuration) -> Result<Self, ListenError> {
        let tcp = match &configuration.listen {
            Some(listen) => {
                let credentials = Credentials::load(&listen.tls)?;
                let failed = |source| ListenError::Tcp {
                    address: listen.address,
                    source,
                };
                let listener = TcpListener::bind(listen.address).await.map_err(failed)?;
                info!(address = %listener.local_addr().map_err(failed)?, "listening, mutual TLS");
                Some((listener, credentials))
            }
            None => None,
        };
        let unix = configuration
            .socket_path
            .as_deref()
            .map(UnixSocket::bind)
            .transpose()?;
        if let Some(unix) = &unix {
            info!(path = %unix.path.display(), "listening, local users only");
        }
        Ok(Self { tcp, unix })
    }

    /// Where the TCP socket is, for port 0.
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.tcp.as_ref().unwrap().0.local_addr().unwrap()
    }
}

impl UnixSocket {
    fn bind(path: &Path) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Unix {
            path: path.to_owned(),
            source,
        };
        let directory = path.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(failed)?;
        give_way(path)?;

        // Made under another name, closed to others, and only then put in its place: the socket is never there with
        // wider rights. Process-wide umasks are out of the question with other threads about.
        let staged = directory.join(format!(".s{}", std::process::id()));
        let _ = remove(&staged);
        let listener = UnixListener::bind(&staged).map_err(failed)?;
        let placed = std::fs::set_permissions(&staged, PermissionsExt::from_mode(0o600))
            .and_then(|()| std::fs::symlink_metadata(&staged))
            .and_then(|metadata| {
                rustix::fs::rename(&staged, path)?;
                Ok((metadata.dev(), metadata.ino()))
            });
        let file = placed
            .inspect_err(|_| {
                let _ = remove(&staged);
            })
            .map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file,
        })
    }
}

/// Makes sure that what is at `path`, if anything, is a socket that nobody listens on.
fn give_way(path: &Path) -> Result<(), ListenError> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenError::NotASocket {
                path: path.to_owned(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(_) | Err(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        // Left behind by a daemon that was killed.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(ListenError::Taken {
            path: path.to_owned(),
        }),
        Err(source) => Err(ListenError::Unix {
            path: path.to_owned(),
            source,
        }),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    // Not state: a socket's name, which the store's layer does not know.
    Ok(rustix::fs::unlink(path)?)
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // A daemon that has started since may have put its own there.
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
        if ours && let Err(error) = remove(&self.path) {
            debug!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

/// What all accepted connections are made with, and where they go.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    pub(super) connections: mpsc::Sender<Connection>,
    pub(super) admissions: Admissions,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) stop: CancellationToken,
    /// Breaks all connections.
    pub(super) kill: CancellationToken,
}

impl Intake {
    /// Lets a connection in, unless there are too many. `false`: nobody takes connections any more.
    async fn admit(&self, io: Io, identity: Identity) -> bool {
        let admission = match self.admissions.admit(&identity.counted_as()) {
            Ok(admission) => admission,
            Err(full) => {
                self.metrics.count_refused_connection();
                let limit = match full {
                    Full::Total => "limits.maxConnections",
                    Full::Client => "limits.maxConnectionsPerClient",
                };
                info!(peer = %identity.peer, client = identity.name, limit, "connection refused: too many");
                return true;
            }
        };
        debug!(peer = %identity.peer, client = identity.name, roles = identity.roles_text(), "connected");
        // tonic winds a connection up at its age; this is for those that do not let themselves be wound up.
        let max_age = self.limits.max_connection_age + self.limits.request_timeout;
        let connection = Connection::new(io, identity, admission, max_age, self.kill.clone());
        self.connections.send(connection).await.is_ok()
    }
}

/// Accepts TLS connections until the daemon stops.
pub(super) async fn accept_tcp(listener: TcpListener, credentials: Credentials, intake: Intake) {
    let limits = &intake.limits;
    let mut handshakes = Handshakes::new(
        credentials,
        limits.max_pending_handshakes,
        limits.handshake_timeout,
    );
    loop {
        tokio::select! {
            () = intake.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Answers are small and awaited.
                    let _ = stream.set_nodelay(true);
                    if let Some(given_up) = handshakes.begin(stream, peer) {
                        intake.metrics.count_refused_connection();
                        debug!(peer = %given_up, "handshake given up: limits.maxPendingHandshakes is reached");
                    }
                }
                Err(error) => accept_failed(&error).await,
            },
            Outcome { peer, result } = handshakes.next() => match result {
                Ok((stream, identity)) => {
                    if !intake.admit(Io::Tls(stream), identity).await {
                        return;
                    }
                }
                Err(error) => {
                    intake.metrics.count_refused_connection();
                    info!(%peer, reason = %error, "connection refused");
                }
            },
        }
    }
}

/// Accepts local connections until the daemon stops.
pub(super) async fn accept_unix(socket: UnixSocket, intake: Intake) {
    loop {
        let accepted = tokio::select! {
            () = intake.stop.cancelled() => return,
            accepted = socket.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Some(identity) = identify(&stream)
                    && !intake.admit(Io::Unix(stream), identity).await
                {
                    return;
                }
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

fn identify(stream: &UnixStream) -> Option<Identity> {
    match stream.peer_cred() {
        Ok(credentials) => Some(Identity::from_credentials(credentials)),
        Err(error) => {
            info!(%error, "connection refused: the kernel does not say whose it is");
            None
        }
    }
}

async fn accept_failed(error: &io::Error) {
    // The client's doing, and over.
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    ) {
        return;
    }
    warn!(%error, "cannot accept connections; trying on");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
