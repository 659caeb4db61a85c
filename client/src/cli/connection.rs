//! From arguments, environment and context to a connected client.

use anyhow::Context as _;
use seedpod_client::{Client, Endpoint, Options};

use super::{
    args::ConnectionArgs,
    config::{Config, Context},
    exit::Usage,
};

/// Connects to the node that the arguments mean.
pub(crate) async fn connect(args: ConnectionArgs) -> anyhow::Result<Client> {
    Ok(Client::connect(options(args)?).await?)
}

/// What is said as argument or in the environment wins, one by one, over the context.
pub(crate) fn options(args: ConnectionArgs) -> anyhow::Result<Options> {
    let context = context(&args)?;
    let ConnectionArgs {
        config: _,
        context: _,
        endpoint,
        ca_file,
        cert_file,
        key_file,
        server_name,
        request_timeout,
    } = args;
    let endpoint = match endpoint.or(context.endpoint) {
        Some(given) => given.parse().map_err(|error| Usage(format!("{error}")))?,
        None => Endpoint::default_socket(),
    };
    let is_unix = matches!(endpoint, Endpoint::Unix(_));
    let mut options = Options::for_endpoint(endpoint).deadline(request_timeout);
    options = options.connect_timeout(request_timeout.min(std::time::Duration::from_secs(10)));
    if is_unix {
        // Certificates that a context or the environment has for TCP mean nothing here.
        return Ok(options);
    }
    if let Some(path) = ca_file.or(context.ca_file) {
        options = options.ca_file(path);
    }
    match (
        cert_file.or(context.cert_file),
        key_file.or(context.key_file),
    ) {
        (Some(certificate), Some(key)) => {
            options = options.client_certificate_files(certificate, key);
        }
        (None, None) => {}
        (Some(_), None) => return Err(Usage("--cert-file needs --key-file".to_owned()).into()),
        (None, Some(_)) => return Err(Usage("--key-file needs --cert-file".to_owned()).into()),
    }
    if let Some(name) = server_name.or(context.server_name) {
        options = options.server_name(name);
    }
    Ok(options)
}

fn context(args: &ConnectionArgs) -> anyhow::Result<Context> {
    let config = Config::load(args, true)?;
    let Some(name) = args.context.as_ref().or(config.current_context.as_ref()) else {
        return Ok(Context::default());
    };
    let path = Config::path(args).context("there is no configuration file")?;
    Ok(config.context(name)?.resolved(&path))
}
