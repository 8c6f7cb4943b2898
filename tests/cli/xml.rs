//! AWS's answers: elements, sets of items, and the two shapes that errors have.

use std::fmt::Write as _;

/// `<name>text</name>`, escaped.
pub(crate) fn text(name: &str, value: &str) -> String {
    let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<{name}>{value}</{name}>")
}

/// `<name>…</name>` around XML.
pub(crate) fn element(name: &str, inside: &str) -> String {
    format!("<{name}>{inside}</{name}>")
}

/// `<name><item>…</item>…</name>`.
pub(crate) fn set(name: &str, items: impl IntoIterator<Item = String>) -> String {
    let items = items.into_iter().fold(String::new(), |mut all, item| {
        let _ = write!(all, "<item>{item}</item>");
        all
    });
    element(name, &items)
}

/// EC2's answer to an action.
pub(crate) fn ec2_answer(action: &str, request_id: &str, inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">{}{inside}</{action}Response>",
        text("requestId", request_id)
    )
}

/// EC2's error.
pub(crate) fn ec2_error(code: &str, message: &str, request_id: &str) -> String {
    let error = element("Error", &(text("Code", code) + &text("Message", message)));
    let errors = element("Errors", &error);
    let id = text("RequestID", request_id);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", element("Response", &(errors + &id)))
}

/// STS's answer to GetCallerIdentity.
pub(crate) fn identity(account: &str, arn: &str, request_id: &str) -> String {
    let result = text("Arn", arn) + &text("UserId", "AIDAEXAMPLE") + &text("Account", account);
    let result = element("GetCallerIdentityResult", &result);
    let metadata = element("ResponseMetadata", &text("RequestId", request_id));
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">{result}{metadata}</GetCallerIdentityResponse>"
    )
}

/// STS's error.
pub(crate) fn sts_error(code: &str, message: &str, request_id: &str) -> String {
    let error = text("Type", "Sender") + &text("Code", code) + &text("Message", message);
    let inside = element("Error", &error) + &text("RequestId", request_id);
    format!("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">{inside}</ErrorResponse>")
}
