//! Free TCP ports of the loopback interface.

use std::net::TcpListener;

use anyhow::{Context, Result};

/// Ports that were free a moment ago, all different.
///
/// Another process may take one before its user binds it. The kernel hands out ephemeral ports at
/// random, so that this is rare; the start that it breaks says which port was taken.
///
/// # Errors
/// Fails when there is none.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until all are known: otherwise one could come twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("look for a free port")?;
        *port = listener
            .local_addr()
            .context("look for a free port")?
            .port();
        held.push(listener);
    }
    Ok(ports)
}
