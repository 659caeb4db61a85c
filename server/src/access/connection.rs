//! An accepted connection, as tonic sees it.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::{Identity, admission::Admission};

/// A connection whose other end is known. Its identity becomes an extension of each request.
pub(super) struct Connection {
    io: Io,
    identity: Identity,
    /// When this resolves, the connection breaks, whatever goes on in it.
    end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _admission: Admission,
}

pub(super) enum Io {
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Connection {
    /// `kill` breaks it at once; otherwise it lives for `max_age` or until its certificate ends.
    pub(super) fn new(
        io: Io,
        identity: Identity,
        admission: Admission,
        max_age: Duration,
        kill: CancellationToken,
    ) -> Self {
        let certificate = identity.not_after.map_or(Duration::MAX, |not_after| {
            not_after
                .duration_since(SystemTime::now())
                .unwrap_or_default()
        });
        let life = max_age.min(certificate);
        let end = Box::pin(async move {
            let _ = tokio::time::timeout(life, kill.cancelled()).await;
        });
        Self {
            io,
            identity,
            end: Some(end),
            _admission: admission,
        }
    }

    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        // Only reads look at this: HTTP/2 always has a read pending, and so is woken.
        let Some(end) = &mut self.end else {
            return true;
        };
        if end.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.end = None;
        true
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Connected for Connection {
    type ConnectInfo = Identity;

    fn connect_info(&self) -> Identity {
        self.identity.clone()
    }
}

/// Calls a method of whatever stream is inside.
macro_rules! inner {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match &mut $self.get_mut().io {
            Io::Tls(stream) => Pin::new(stream).$method($($argument),*),
            Io::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        inner!(self.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self.poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tls(stream) => stream.is_write_vectored(),
            Io::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self.poll_shutdown(cx))
    }
}
