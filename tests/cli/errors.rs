//! The committed table of AWS's error codes, row by row: the endpoint refuses
//! in AWS's own XML, and the program says the code, AWS's words, what they mean,
//! what to do and the request id. A call that the table says to stop at is made once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::advice::{self, Row};
use crate::endpoint::{Endpoint, REQUEST_ID, Refusal};
use crate::run::{CONFIG, Place, Run};

/// Runs at the same time: they mostly wait.
const AT_ONCE: usize = 12;
/// How often a machine is asked for anew.
const ATTEMPTS: usize = 3;

/// Where a row is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// A question, by `plan`.
    Read(&'static str),
    /// A changing call, by `up`.
    Change(&'static str),
    /// Why a launched machine ended, by `up`.
    Ended,
    /// A code of the program's own, for what never reached AWS.
    OwnCode,
}

/// The codes of the program's own; [`crate::credentials`] and [`crate::refusals`] bring each about.
const OWN_CODES: &[&str] = &[
    "NoCredentials",
    "ExpiredSsoToken",
    "BadCredentials",
    "NoRegion",
    "Connection",
    "Timeout",
    "Unreadable",
];

fn place_of(row: &Row) -> Where {
    let code = row.code.as_str();
    match code {
        _ if OWN_CODES.contains(&code) => Where::OwnCode,
        _ if code.starts_with("Client.") || code.starts_with("Server.") => Where::Ended,
        "AccessDenied"
        | "AccessDeniedException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestTimeTooSkewed"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "ValidationError" => Where::Read("GetCallerIdentity"),
        "UnauthorizedOperation" | "RequestExpired" | "AuthFailure" | "OptInRequired" | "DryRunOperation" => {
            Where::Read("DescribeVpcs")
        }
        "InsufficientInstanceCapacity" | "InsufficientHostCapacity" => Where::Change("RunInstances"),
        // What passes by itself is asked again; a question ends sooner than a change.
        _ if row.verdict == "Retry" || row.verdict == "LookAgain" => Where::Read("DescribeSubnets"),
        "InvalidVpc.Range" | "VpcLimitExceeded" => Where::Change("CreateVpc"),
        "InvalidSubnet.Range" | "SubnetLimitExceeded" => Where::Change("CreateSubnet"),
        "InternetGatewayLimitExceeded" => Where::Change("CreateInternetGateway"),
        "RouteTableLimitExceeded" => Where::Change("CreateRouteTable"),
        "RouteLimitExceeded" => Where::Change("CreateRoute"),
        "SecurityGroupLimitExceeded" => Where::Change("CreateSecurityGroup"),
        "RulesPerSecurityGroupLimitExceeded" => Where::Change("AuthorizeSecurityGroupIngress"),
        "KeyPairLimitExceeded" | "InvalidKey.Format" => Where::Change("ImportKeyPair"),
        _ => Where::Change("RunInstances"),
    }
}

/// What AWS sends the code with.
fn status_of(row: &Row) -> u16 {
    match row.code.as_str() {
        "InternalError" | "InternalFailure" => 500,
        "ServiceUnavailable" | "Unavailable" | "RequestLimitExceeded" => 503,
        "AuthFailure" => 401,
        "UnauthorizedOperation" | "AccessDenied" | "InvalidClientTokenId" | "SignatureDoesNotMatch" => 403,
        code if code.starts_with("Insufficient") && row.verdict == "Retry" => 500,
        _ => 400,
    }
}

fn check(row: &Row) -> Result<(), String> {
    let (code, message) = advice::sample(row);
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    // One machine, so that a call is made once for one reason.
    place.write("cluster.yaml", &format!("{CONFIG}workers: []\n"));
    let binary = place.node_binary();
    let plan = ["plan", "--node-binary", &binary];
    let up = ["up", "--yes", "--node-binary", &binary];
    let refusal = Refusal { status: status_of(row), ..Refusal::new(&code, &message) };
    let (run, called, calls) = match place_of(row) {
        Where::OwnCode => return Ok(()),
        Where::Read(action) => {
            endpoint.refuse(action, refusal);
            (place.run(&plan), action, 0)
        }
        Where::Change(action) => {
            endpoint.refuse(action, refusal);
            let again = row.verdict == "Replace" || row.code.ends_with("Capacity");
            // Two security groups are made beside each other, and each is given its rules.
            let pair = ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress"].contains(&action);
            let calls = if again { ATTEMPTS } else { 1 + usize::from(pair) };
            (place.run(&up), action, calls)
        }
        Where::Ended => {
            endpoint.account(|account| account.launches = ("terminated", "", format!("{code}: {message}")));
            let calls = if row.verdict == "Replace" { ATTEMPTS } else { 1 };
            (place.run(&up), "RunInstances", calls)
        }
    };
    let made = endpoint.count(called);
    if calls > 0 && !(1..=calls).contains(&made) || calls == ATTEMPTS && made != calls {
        return Err(format!("{called} was called {made} times, not {calls}:\n{}", ending(&run.err)));
    }
    says(row, &code, &message, &run)
}

fn says(row: &Row, code: &str, message: &str, run: &Run) -> Result<(), String> {
    let mut wanted = vec![code.to_owned(), message.to_owned(), format!("meaning: {}", row.meaning)];
    if !row.remedy.is_empty() {
        wanted.push(format!("remedy:  {}", row.remedy));
    }
    if place_of(row) != Where::Ended {
        wanted.push(format!("request: {REQUEST_ID}"));
    }
    for words in wanted {
        if !run.err.contains(&words) {
            return Err(format!("{words:?} is not said:\n{}", ending(&run.err)));
        }
    }
    match run.code {
        Some(1) => Ok(()),
        other => Err(format!("exit status {other:?}")),
    }
}

/// The last lines.
fn ending(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[test]
fn every_row_of_the_table_is_said_with_its_meaning_and_remedy() {
    let mut rows = advice::table();
    rows.push(Row {
        code: "SomethingNew".to_owned(),
        verdict: "Stop".to_owned(),
        meaning: "AWS answered with a code this program does not know".to_owned(),
        ..Row::default()
    });
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Err(why) = check(row) {
                        failures.lock().unwrap().push(format!("{} {}: {why}", row.code, row.words));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} rows:\n\n{}", failures.len(), failures.join("\n\n"));
}
