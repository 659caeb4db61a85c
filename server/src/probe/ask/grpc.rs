//! A gRPC probe: grpc.health.v1, in plaintext.

use std::error::Error;

use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Told, USER_AGENT, failed, line};

/// Passes when the service says that it is serving. Anything else is a failure.
pub(super) async fn check(address: &str, service: &str) -> Told {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .and_then(|endpoint| endpoint.user_agent(USER_AGENT));
    let channel = match endpoint {
        Ok(endpoint) => endpoint.connect().await,
        Err(error) => return failed(&error),
    };
    let channel = match channel {
        Ok(channel) => channel,
        Err(error) => return failed(&error),
    };
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let of = if service.is_empty() {
        String::new()
    } else {
        format!(" for service {service:?}")
    };
    match HealthClient::new(channel).check(request).await {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => Told::Passed,
            status => Told::Failed(format!("answered {}{of}", status.as_str_name())),
        },
        Err(status) if status.code() == Code::Unimplemented => {
            Told::Failed("answered that it does not have grpc.health.v1.Health".to_owned())
        }
        Err(status) if status.source().is_some() => failed(&status),
        Err(status) => {
            let code = format!("answered {:?}{of}", status.code());
            Told::Failed(match line(status.message()) {
                message if message.is_empty() => code,
                message => format!("{code}: {message}"),
            })
        }
    }
}
