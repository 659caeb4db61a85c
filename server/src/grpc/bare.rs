//! Completes the errors that tonic makes by itself, so that each error has its ErrorInfo.

use axum::{middleware::map_response, response::Response};
use tonic::{Code, Status, service::Routes};

use super::{reason::Reason, status::Fault};

/// Adds the layer that completes the errors of these routes.
pub(super) fn complete(routes: Routes) -> Routes {
    Routes::from(routes.into_axum_router().layer(map_response(completed)))
}

/// Only errors without any message come this way: their status is among the headers. Of all our methods these are all
/// errors.
async fn completed(response: Response) -> Response {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    if status.code() == Code::Ok || !status.details().is_empty() {
        return response;
    }
    explained(&status).into_http()
}

fn explained(status: &Status) -> Status {
    let fault = match status.code() {
        Code::OutOfRange => Fault::new(
            Reason::RequestTooLarge,
            format!(
                "the request is larger than this node takes ({}); GetNode tells the limits",
                status.message()
            ),
        ),
        Code::Unimplemented => Fault::new(
            Reason::MethodUnknown,
            format!(
                "this version of seedpodd does not know that call {}",
                status.message()
            ),
        ),
        // Nothing to add, but the rule is one ErrorInfo for each.
        _ => Fault::new(Reason::Internal, status.message()),
    };
    let complete = Status::from(fault);
    Status::with_details(
        status.code(),
        complete.message(),
        complete.details().to_vec().into(),
    )
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    #[test]
    fn a_completed_error_keeps_its_code_and_gets_a_reason() {
        for (given, reason) in [
            (Status::out_of_range("9 bytes"), "REQUEST_TOO_LARGE"),
            (Status::unimplemented(""), "METHOD_UNKNOWN"),
            (Status::cancelled("Timeout expired"), "INTERNAL"),
            (Status::internal("failed to decode"), "INTERNAL"),
        ] {
            let complete = explained(&given);
            assert_eq!(complete.code(), given.code());
            assert!(complete.message().contains(given.message()));
            assert_eq!(complete.get_details_error_info().unwrap().reason, reason);
        }
    }
}
