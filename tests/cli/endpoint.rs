//! EC2 and STS on loopback: an account that keeps what is made in it, and
//! refuses what a test tells it to refuse, in AWS's words and XML.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::account::{Account, Params};
use crate::http::{Request, Response, Server};
use crate::xml;

/// The account id of the stand-in.
pub(crate) const ACCOUNT: &str = "111122223333";
/// Who calls.
pub(crate) const ARN: &str = "arn:aws:iam::111122223333:user/ada";
/// The id every refusal carries.
pub(crate) const REQUEST_ID: &str = "7a62c49f-347e-4fc4-9331-6e8eEXAMPLE";

/// A refusal, by action.
#[derive(Clone)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) status: u16,
    /// How often; then the account answers.
    pub(crate) times: usize,
    /// Whether dry runs are refused as well.
    pub(crate) dry_runs: bool,
}

impl Refusal {
    /// Refuses every call of the action, dry runs apart, with status 400.
    pub(crate) fn new(code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self { code, message, status: 400, times: usize::MAX, dry_runs: false }
    }
}

/// A call that arrived.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) action: String,
    pub(crate) dry_run: bool,
}

struct State {
    account: Account,
    refusals: BTreeMap<String, Vec<Refusal>>,
    calls: Vec<Call>,
    lose: Vec<String>,
}

/// The stand-in, until dropped.
pub(crate) struct Endpoint {
    server: Server,
    state: Arc<Mutex<State>>,
    called: Arc<Condvar>,
}

/// For a call that must come.
const PATIENCE: Duration = Duration::from_secs(30);

impl Endpoint {
    pub(crate) fn start() -> Self {
        let state =
            State { account: Account::new(), refusals: BTreeMap::new(), calls: Vec::new(), lose: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let called = Arc::new(Condvar::new());
        let (shared, tell) = (Arc::clone(&state), Arc::clone(&called));
        let server = Server::start(move |request| {
            let response = answer(&mut lock(&shared), &request);
            tell.notify_all();
            response
        });
        Self { server, state, called }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Refuses an action; refusals of one action are given one after the other.
    pub(crate) fn refuse(&self, action: &str, refusal: Refusal) {
        lock(&self.state).refusals.entry(action.to_owned()).or_default().push(refusal);
    }

    /// Carries the next call of an action out, and closes the connection without an answer.
    pub(crate) fn lose_reply(&self, action: &str) {
        lock(&self.state).lose.push(action.to_owned());
    }

    /// Changes the account.
    pub(crate) fn account<T>(&self, f: impl FnOnce(&mut Account) -> T) -> T {
        f(&mut lock(&self.state).account)
    }

    /// How often the action was called, dry runs apart.
    pub(crate) fn count(&self, action: &str) -> usize {
        lock(&self.state).calls.iter().filter(|call| call.action == action && !call.dry_run).count()
    }

    /// Waits until the action is called, dry runs apart.
    pub(crate) fn wait_for(&self, action: &str) {
        self.wait_until(action, 1);
    }

    /// Waits until the action is called once more than so far.
    pub(crate) fn wait_for_more(&self, action: &str) {
        self.wait_until(action, self.count(action) + 1);
    }

    fn wait_until(&self, action: &str, times: usize) {
        let made = |call: &&Call| call.action == action && !call.dry_run;
        let called = |state: &mut State| state.calls.iter().filter(made).count() < times;
        let guard = lock(&self.state);
        let (_guard, timeout) =
            self.called.wait_timeout_while(guard, PATIENCE, called).expect("no thread panicked");
        assert!(!timeout.timed_out(), "{action} was never called");
    }

    /// The calls that would change something, in order.
    pub(crate) fn changes(&self) -> Vec<String> {
        let state = lock(&self.state);
        let changing = state.calls.iter().filter(|call| !call.dry_run && is_changing(&call.action));
        changing.map(|call| call.action.clone()).collect()
    }
}

fn is_changing(action: &str) -> bool {
    !["Describe", "Get"].iter().any(|start| action.starts_with(start))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn answer(state: &mut State, request: &Request) -> Response {
    let signed =
        request.headers.iter().any(|(name, value)| name == "authorization" && value.starts_with("AWS4"));
    if request.method != "POST" || request.path != "/" || !signed {
        return Response::HangUp;
    }
    let params = Params::decode(&request.body);
    let action = params.get("Action").to_owned();
    let dry_run = params.get("DryRun") == "true";
    state.calls.push(Call { action: action.clone(), dry_run });
    let is_sts = action == "GetCallerIdentity";
    if let Some(refusal) = refusal_of(state, &action, dry_run) {
        let (code, message) = (&refusal.code, &refusal.message);
        let body = if is_sts {
            xml::sts_error(code, message, REQUEST_ID)
        } else {
            xml::ec2_error(code, message, REQUEST_ID)
        };
        return Response::Xml(refusal.status, body);
    }
    if is_sts {
        return Response::Xml(200, xml::identity(ACCOUNT, ARN, REQUEST_ID));
    }
    if dry_run {
        let words = "Request would have succeeded, but DryRun flag is set.";
        return Response::Xml(412, xml::ec2_error("DryRunOperation", words, REQUEST_ID));
    }
    let answer = state.account.answer(&action, &params);
    if let Some(at) = state.lose.iter().position(|lost| *lost == action) {
        state.lose.remove(at);
        return Response::HangUp;
    }
    match answer {
        Ok(inside) => Response::Xml(200, xml::ec2_answer(&action, REQUEST_ID, &inside)),
        Err((code, message)) => Response::Xml(400, xml::ec2_error(code, &message, REQUEST_ID)),
    }
}

fn refusal_of(state: &mut State, action: &str, dry_run: bool) -> Option<Refusal> {
    let refusals = state.refusals.get_mut(action)?;
    let next = refusals.iter_mut().find(|refusal| refusal.times > 0 && (!dry_run || refusal.dry_runs))?;
    next.times = next.times.saturating_sub(1);
    Some(next.clone())
}
