//! From the SDK's errors to ours: the code, AWS's words, the request id, and whether the call may have taken effect.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_runtime_api::client::dns::ResolveDnsError;

use crate::advice::{Verdict, advice};
use crate::error::CloudError;

type Failed<E> = SdkError<E, HttpResponse>;

/// A failed read: nothing can have changed.
pub(super) fn read<E>(operation: &str, error: Failed<E>) -> CloudError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    CloudError { outcome_unknown: false, ..change(operation, error) }
}

/// A failed change.
pub(super) fn change<E>(operation: &str, error: Failed<E>) -> CloudError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    if let SdkError::ServiceError(service) = &error
        && let Some(code) = service.err().code()
    {
        let status = service.raw().status().as_u16();
        let message = plain(service.err().message().unwrap_or_default());
        return CloudError {
            request_id: request_id(service.err().meta().request_id(), service.raw()),
            outcome_unknown: may_have_run(code, &message, status),
            ..CloudError::refused(operation, code, message)
        };
    }
    if let Some(credentials) = find::<CredentialsError>(&error) {
        return no_credentials(operation, credentials);
    }
    unanswered(operation, &error)
}

/// From the headers, or out of the document: EC2 writes `RequestID`, STS `RequestId`.
fn request_id(header: Option<&str>, response: &HttpResponse) -> Option<String> {
    let body = || {
        let body = std::str::from_utf8(response.body().bytes()?).ok()?;
        let (_, rest) = body.split_once("<RequestID>").or_else(|| body.split_once("<RequestId>"))?;
        rest.split_once('<').map(|(id, _)| id.to_owned())
    };
    header.map(str::to_owned).or_else(body)
}

/// An error of AWS's own (5xx) leaves open whether the call was carried out,
/// but for those that say it was refused for want of rate or capacity.
fn may_have_run(code: &str, message: &str, status: u16) -> bool {
    let refused =
        code.starts_with("Insufficient") || code.contains("Thrott") || code == "RequestLimitExceeded";
    let foreseen = advice(code, message).verdict != Verdict::Retry && !advice(code, message).code.is_empty();
    status >= 500 && !refused && !foreseen
}

/// Cuts what only `aws sts decode-authorization-message` can read.
fn plain(message: &str) -> String {
    match message.find("Encoded authorization failure message") {
        Some(at) => message[..at].trim_end().to_owned(),
        None => message.trim().to_owned(),
    }
}

/// No answer of AWS's came back.
fn unanswered<E>(operation: &str, error: &Failed<E>) -> CloudError
where
    E: Error + Send + Sync + 'static,
{
    let words = innermost(error);
    if let Some(rustls::Error::InvalidCertificate(_)) = find::<rustls::Error>(error) {
        return CloudError::refused(operation, "UntrustedCertificate", words);
    }
    match error {
        SdkError::ConstructionFailure(_) => CloudError::refused(operation, "Unreadable", words),
        SdkError::TimeoutError(_) => CloudError::lost(operation, "Timeout", words),
        SdkError::DispatchFailure(failure) if never_sent(error) || failure.is_user() => {
            let code = if failure.is_timeout() { "Timeout" } else { "Connection" };
            CloudError::refused(operation, code, words)
        }
        SdkError::DispatchFailure(failure) => {
            let code = if failure.is_timeout() { "Timeout" } else { "Connection" };
            CloudError::lost(operation, code, words)
        }
        SdkError::ServiceError(service) => unreadable(operation, service.raw()),
        SdkError::ResponseError(response) => unreadable(operation, response.raw()),
        _ => CloudError::lost(operation, "Connection", words),
    }
}

/// Something answered, but not as AWS does: a proxy's page, or a wrong port.
fn unreadable(operation: &str, response: &HttpResponse) -> CloudError {
    let body = response.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
    let start: String = body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect();
    let message = format!("HTTP {} with a body that is not AWS's: {start}", response.status());
    CloudError::lost(operation, "Unreadable", message)
}

/// Whether the connection was never made, so that nothing can have been sent.
fn never_sent(error: &(dyn Error + 'static)) -> bool {
    let refused = find::<std::io::Error>(error).is_some_and(|io| {
        use std::io::ErrorKind as K;
        matches!(
            io.kind(),
            K::ConnectionRefused | K::HostUnreachable | K::NetworkUnreachable | K::AddrNotAvailable
        )
    });
    refused || find::<ResolveDnsError>(error).is_some() || base::chain(error).contains("connect timeout")
}

fn no_credentials(operation: &str, error: &CredentialsError) -> CloudError {
    // Each provider of the chain says that it loads credentials before the one that fails says why.
    let words = base::chain(error).replace("an error occurred while loading credentials: ", "");
    let words = words.trim().to_owned();
    // Where there is no metadata service, what is heard of it depends on the network.
    let none = matches!(error, CredentialsError::CredentialsNotLoaded(_)) || words.contains("IMDS");
    let (code, message) = match error {
        _ if none => ("NoCredentials", format!("found none in {}", looked_at())),
        _ if is_expired_sso(&words) => ("ExpiredSsoToken", words),
        CredentialsError::ProviderTimedOut(_) => ("Timeout", words),
        _ => ("BadCredentials", words),
    };
    CloudError::refused(operation, code, message)
}

fn is_expired_sso(words: &str) -> bool {
    let words = words.to_lowercase();
    words.contains("sso") && ["expired", "token", "log in", "login"].iter().any(|word| words.contains(word))
}

/// The sources of the default chain, in its order.
fn looked_at() -> String {
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    format!(
        "AWS_ACCESS_KEY_ID, profile {profile} in ~/.aws/config and ~/.aws/credentials, \
         AWS_WEB_IDENTITY_TOKEN_FILE, nor the metadata services of a container and of an instance"
    )
}

/// The deepest cause, which is the one that says something.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        next = current.source();
    }
    None
}
