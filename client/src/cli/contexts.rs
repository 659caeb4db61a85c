//! `seedpod config`.

use std::path::PathBuf;

use anstream::eprintln;
use comfy_table::Cell;
use seedpod_client::cluster::ClusterConfiguration;

use super::{
    args::{ConfigArgs, ConfigWhat, ConnectionArgs, Format},
    config::{Config, Context},
    encryption,
    exit::Usage,
    output::{self, Columns, Items},
};

pub(crate) fn run(args: ConfigArgs, connection: &ConnectionArgs) -> anyhow::Result<()> {
    let load = || Config::load(connection, true);
    match args.what {
        ConfigWhat::View => output::print(&serde_saphyr::to_string(&load()?)?),
        ConfigWhat::GetContexts { output } => get(&load()?, output),
        ConfigWhat::CurrentContext => match load()?.current_context {
            Some(name) => output::print(&format!("{name}\n")),
            None => Err(Usage(
                "no context is current; choose one with `seedpod config use-context`".to_owned(),
            )
            .into()),
        },
        ConfigWhat::UseContext { name } => {
            let mut config = load()?;
            config.context(&name)?;
            config.current_context = Some(name.clone());
            config.save(connection)?;
            eprintln!("Context {name:?} is the current one now.");
            Ok(())
        }
        ConfigWhat::SetContext { name } => set(Config::load(connection, false)?, &name, connection),
        ConfigWhat::DeleteContext { name } => {
            let mut config = load()?;
            config.context(&name)?;
            config.contexts.retain(|context| context.name != name);
            if config.current_context.as_ref() == Some(&name) {
                config.current_context = None;
                eprintln!("It was the current context; now none is.");
            }
            let path = config.save(connection)?;
            eprintln!("Context {name:?} deleted from {}.", path.display());
            Ok(())
        }
        ConfigWhat::Init => output::print(ClusterConfiguration::EXAMPLE),
        ConfigWhat::EncryptionKey(args) => encryption::run(args),
    }
}

fn get(config: &Config, format: Format) -> anyhow::Result<()> {
    let names = || {
        config
            .contexts
            .iter()
            .map(|context| context.name.clone())
            .collect()
    };
    if output::print_for_programs(
        format,
        &Items {
            items: &config.contexts,
        },
        names,
    )? {
        return Ok(());
    }
    if config.contexts.is_empty() {
        eprintln!("There are no contexts; add one with `seedpod config set-context`.");
        return Ok(());
    }
    let mut table = Columns::new(&["CURRENT", "NAME", "ENDPOINT", "CERTIFICATE"]);
    for context in &config.contexts {
        let current = config.current_context.as_ref() == Some(&context.name);
        table.row(vec![
            Cell::new(if current { "*" } else { "" }),
            Cell::new(&context.name),
            Cell::new(context.endpoint.as_deref().unwrap_or("-")),
            Cell::new(
                context
                    .cert_file
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |path| path.display().to_string()),
            ),
        ]);
    }
    table.print()
}

fn set(mut config: Config, name: &str, connection: &ConnectionArgs) -> anyhow::Result<()> {
    if name.is_empty() {
        return Err(Usage("the context's name must not be empty".to_owned()).into());
    }
    if !config.contexts.iter().any(|context| context.name == name) {
        if connection.endpoint.is_none() {
            return Err(Usage(format!("context {name:?} is new and needs --endpoint")).into());
        }
        config.contexts.push(Context {
            name: name.to_owned(),
            ..Context::default()
        });
    }
    if let Some(context) = config
        .contexts
        .iter_mut()
        .find(|context| context.name == name)
    {
        if let Some(endpoint) = &connection.endpoint {
            let endpoint: seedpod_client::Endpoint = endpoint
                .parse()
                .map_err(|error| Usage(format!("{error}")))?;
            context.endpoint = Some(endpoint.to_string());
        }
        replace(&mut context.ca_file, connection.ca_file.as_ref())?;
        replace(&mut context.cert_file, connection.cert_file.as_ref())?;
        replace(&mut context.key_file, connection.key_file.as_ref())?;
        if connection.server_name.is_some() {
            context.server_name.clone_from(&connection.server_name);
        }
    }
    if config.current_context.is_none() {
        config.current_context = Some(name.to_owned());
    }
    let path = config.save(connection)?;
    let current = config.current_context.as_deref().unwrap_or_default();
    eprintln!(
        "Context {name:?} saved in {}. The current context is {current:?}.",
        path.display()
    );
    Ok(())
}

/// A path on the command line starts at the working directory, one in the file does not: so it becomes absolute.
fn replace(old: &mut Option<PathBuf>, new: Option<&PathBuf>) -> anyhow::Result<()> {
    if let Some(path) = new {
        *old = Some(std::path::absolute(path)?);
    }
    Ok(())
}
