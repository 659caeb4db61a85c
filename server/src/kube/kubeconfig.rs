//! A kubeconfig that a remote client has sent: strict, and everything inline.
//!
//! It is read by hand rather than by serde, whose errors show the values that they do not like.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use seedpod_manifest::Violation;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// What is wrong with a kubeconfig. Names the field, as `users[0].user.client-key`, and never shows a value of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", Field(field))]
pub(crate) struct KubeconfigError {
    /// Empty: the whole.
    pub(crate) field: String,
    pub(crate) problem: String,
}

struct Field<'a>(&'a str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            field => write!(f, "{field}: "),
        }
    }
}

fn fault(field: impl Into<String>, problem: impl Into<String>) -> KubeconfigError {
    KubeconfigError {
        field: field.into(),
        problem: problem.into(),
    }
}

/// Where the API server is, how to know it, and who we are.
pub(super) struct Access {
    pub(super) host: String,
    pub(super) port: u16,
    /// The name or address that its certificate has to have.
    pub(super) server_name: ServerName<'static>,
    /// With the CA and the client's certificate.
    pub(super) tls: Arc<ClientConfig>,
    /// `Bearer …`, marked as sensitive.
    pub(super) authorization: Option<HeaderValue>,
    /// Of objects that name none.
    pub(super) namespace: String,
}

impl Access {
    /// For errors and the Host header.
    pub(super) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Reads the text and takes the current context of it.
pub(super) fn read(text: &str) -> Result<Access, KubeconfigError> {
    let mut value = decode(text)?;
    let access = access(&value);
    wipe(&mut value);
    access
}

fn decode(text: &str) -> Result<Value, KubeconfigError> {
    seedpod_manifest::read_document(text).map_err(|violation: Violation| {
        let Violation {
            field,
            description,
            position,
            ..
        } = violation;
        match position {
            Some(at) => fault(
                field,
                format!("{description} (line {}, column {})", at.line, at.column),
            ),
            None => fault(field, description),
        }
    })
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => zeroize::Zeroize::zeroize(text),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn access(value: &Value) -> Result<Access, KubeconfigError> {
    let root = Entry::new(value, String::new())?;
    root.knows(&[
        "apiVersion",
        "kind",
        "clusters",
        "contexts",
        "current-context",
        "extensions",
        "preferences",
        "users",
    ])?;
    for (field, wanted) in [("apiVersion", "v1"), ("kind", "Config")] {
        if root.text(field)?.is_some_and(|given| given != wanted) {
            return Err(fault(field, format!("a kubeconfig has {wanted} here")));
        }
    }
    let current = root.required(
        "current-context",
        "name the context of this file that is to be used",
    )?;
    let context = root.named("contexts", "context", current, "current-context")?;
    context.knows(&["cluster", "user", "namespace", "extensions"])?;
    let cluster_name = context.required("cluster", "name a cluster of this file")?;
    let user_name = context.required("user", "name a user of this file")?;
    let cluster = root.named("clusters", "cluster", cluster_name, &context.at("cluster"))?;
    let user = root.named("users", "user", user_name, &context.at("user"))?;
    let namespace = context
        .text("namespace")?
        .filter(|it| !it.is_empty())
        .unwrap_or("default");
    if namespace.contains(['/', '%']) || namespace.starts_with('.') {
        return Err(fault(
            context.at("namespace"),
            "it can be no namespace's name",
        ));
    }
    let (host, port, own_name) = server(&cluster)?;
    let server_name = match cluster.text("tls-server-name")? {
        None | Some("") => own_name,
        Some(name) => ServerName::try_from(name.to_owned()).map_err(|_| {
            fault(
                cluster.at("tls-server-name"),
                "it is no DNS name and no IP address",
            )
        })?,
    };
    Ok(Access {
        host,
        port,
        server_name,
        tls: Arc::new(tls(&cluster, &user)?),
        authorization: token(&user)?,
        namespace: namespace.to_owned(),
    })
}

/// Host, port and the name in it of `server`.
fn server(cluster: &Entry<'_>) -> Result<(String, u16, ServerName<'static>), KubeconfigError> {
    cluster.refuse_path("certificate-authority")?;
    cluster.knows(&[
        "server",
        "certificate-authority-data",
        "tls-server-name",
        "disable-compression",
        "insecure-skip-tls-verify",
        "proxy-url",
        "extensions",
    ])?;
    if !matches!(
        cluster.value("insecure-skip-tls-verify"),
        None | Some(Value::Bool(false))
    ) {
        return Err(fault(
            cluster.at("insecure-skip-tls-verify"),
            "an API server that nobody has checked would get the credentials: remove it and give \
             certificate-authority-data",
        ));
    }
    if cluster.text("proxy-url")?.is_some_and(|it| !it.is_empty()) {
        return Err(fault(
            cluster.at("proxy-url"),
            "the node connects directly: remove it",
        ));
    }
    let field = cluster.at("server");
    let given = cluster.required("server", "give the API server's address: https://HOST:PORT")?;
    let wrong = || {
        fault(
            field.as_str(),
            "it must be https://HOST:PORT, with nothing after that",
        )
    };
    let uri: Uri = given.parse().map_err(|_| wrong())?;
    let plain = uri.authority().is_some_and(|it| !it.as_str().contains('@'))
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none();
    if uri.scheme_str() != Some("https") || !plain {
        return Err(wrong());
    }
    let host = uri.host().ok_or_else(wrong)?;
    let host = host
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'))
        .unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
    Ok((host.to_owned(), uri.port_u16().unwrap_or(443), name))
}

fn tls(cluster: &Entry<'_>, user: &Entry<'_>) -> Result<ClientConfig, KubeconfigError> {
    for path in ["client-certificate", "client-key", "tokenFile"] {
        user.refuse_path(path)?;
    }
    for (field, remedy) in [
        ("exec", "the node runs no program to get credentials"),
        ("auth-provider", "the node knows no auth providers"),
        ("username", "API servers take no passwords"),
        ("password", "API servers take no passwords"),
        ("as", "the node acts as the user itself"),
        ("as-uid", "the node acts as the user itself"),
        ("as-groups", "the node acts as the user itself"),
        ("as-user-extra", "the node acts as the user itself"),
    ] {
        if !matches!(user.value(field), None | Some(Value::Null)) {
            let problem = format!(
                "{remedy}: remove it, and give client-certificate-data with client-key-data, or token"
            );
            return Err(fault(user.at(field), problem));
        }
    }
    user.knows(&[
        "client-certificate-data",
        "client-key-data",
        "token",
        "extensions",
    ])?;

    let ca = cluster.data("certificate-authority-data")?.ok_or_else(|| {
        fault(
            cluster.at("certificate-authority-data"),
            "give the CA that the API server's certificate is from, as base64 of PEM",
        )
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&cluster.at("certificate-authority-data"), &ca)? {
        roots.add(certificate).map_err(|_| {
            fault(
                cluster.at("certificate-authority-data"),
                "one of the certificates cannot be read as a CA's",
            )
        })?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| fault("", "the daemon's TLS library cannot be used"))?
        .with_root_certificates(roots);
    let chain = user.data("client-certificate-data")?;
    let key = user.data("client-key-data")?;
    let mut config = match (chain, key) {
        (Some(chain), Some(key)) => {
            let chain = certificates(&user.at("client-certificate-data"), &chain)?;
            let key = PrivateKeyDer::from_pem_slice(&key)
                .map_err(|_| fault(user.at("client-key-data"), "it is no private key in PEM"))?;
            builder.with_client_auth_cert(chain, key).map_err(|_| {
                fault(
                    user.at("client-key-data"),
                    "it does not belong to client-certificate-data, or cannot be used",
                )
            })?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => {
            return Err(fault(
                user.at("client-key-data"),
                "client-certificate-data needs its key",
            ));
        }
        (None, Some(_)) => {
            return Err(fault(
                user.at("client-certificate-data"),
                "client-key-data needs its certificate",
            ));
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Two API servers share a port in a handoff, and neither knows the sessions of the other.
    config.resumption = Resumption::disabled();
    if !config.client_auth_cert_resolver.has_certs() && user.text("token")?.is_none() {
        return Err(fault(
            user.at("token"),
            "give client-certificate-data with client-key-data, or token",
        ));
    }
    Ok(config)
}

fn certificates(field: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, KubeconfigError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(fault(field, "it has no certificate in PEM")),
    }
}

fn token(user: &Entry<'_>) -> Result<Option<HeaderValue>, KubeconfigError> {
    let Some(token) = user.text("token")? else {
        return Ok(None);
    };
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut header = HeaderValue::from_str(&text)
        .map_err(|_| fault(user.at("token"), "it has characters that no token has"))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// An object of the file and where it stands.
struct Entry<'v> {
    map: &'v Map<String, Value>,
    path: String,
}

impl<'v> Entry<'v> {
    fn new(value: &'v Value, path: String) -> Result<Self, KubeconfigError> {
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            _ => Err(fault(path, "it must be an object")),
        }
    }

    fn at(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    fn value(&self, field: &str) -> Option<&'v Value> {
        self.map.get(field)
    }

    fn text(&self, field: &str) -> Result<Option<&'v str>, KubeconfigError> {
        match self.value(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(fault(self.at(field), "it must be a string")),
        }
    }

    fn required(&self, field: &str, remedy: &str) -> Result<&'v str, KubeconfigError> {
        self.text(field)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| fault(self.at(field), remedy))
    }

    /// What base64 stands for.
    fn data(&self, field: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KubeconfigError> {
        let Some(text) = self.text(field)?.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        // Folded YAML scalars have blanks in them.
        let text: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
        STANDARD
            .decode(text.as_bytes())
            .map(|data| Some(Zeroizing::new(data)))
            .map_err(|_| fault(self.at(field), "it is not base64"))
    }

    fn refuse_path(&self, field: &str) -> Result<(), KubeconfigError> {
        if matches!(self.value(field), None | Some(Value::Null)) {
            return Ok(());
        }
        let inline = match field {
            "tokenFile" => "token".to_owned(),
            field => format!("{field}-data"),
        };
        Err(fault(
            self.at(field),
            format!(
                "the node reads no files for a client: give the content in {inline} (kubectl config view --raw --flatten does that)"
            ),
        ))
    }

    fn knows(&self, fields: &[&str]) -> Result<(), KubeconfigError> {
        match self.map.keys().find(|key| !fields.contains(&key.as_str())) {
            None => Ok(()),
            // A key may be anything; only what looks like a field's name is told.
            Some(key)
                if key.len() <= 40 && key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') =>
            {
                Err(fault(self.at(key), "a kubeconfig has no such field here"))
            }
            Some(_) => Err(fault(
                self.path.as_str(),
                "it has a field that no kubeconfig has",
            )),
        }
    }

    /// The entry of this name in a list such as `users`, of which `inner` has the content.
    fn named(
        &self,
        list: &str,
        inner: &str,
        name: &str,
        named_by: &str,
    ) -> Result<Entry<'v>, KubeconfigError> {
        let Some(Value::Array(items)) = self.value(list) else {
            return Err(fault(
                self.at(list),
                "it must be a list with at least one entry",
            ));
        };
        let mut found = None;
        for (index, item) in items.iter().enumerate() {
            let path = self.at(&format!("{list}[{index}]"));
            let item = Entry::new(item, path)?;
            if item.text("name")? != Some(name) {
                continue;
            }
            if found.is_some() {
                return Err(fault(item.at("name"), "two entries have this name"));
            }
            item.knows(&["name", inner])?;
            let Some(content) = item.value(inner) else {
                return Err(fault(item.at(inner), "it is missing"));
            };
            found = Some(Entry::new(content, item.at(inner))?);
        }
        found.ok_or_else(|| fault(named_by, format!("{list} has no entry of this name")))
    }
}
