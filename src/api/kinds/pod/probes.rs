//! Probes and lifecycle hooks: one handler each, and that handler's own rules.

use crate::field_error::{At, Errors};
use crate::kinds::rules::{known_if_set, not_negative, port, port_or_name, required};
use crate::names::http_header;

/// Probes of a container that runs as long as its pod.
pub(super) fn probes(container: &At<'_>, grace: Option<i64>, e: &mut Errors) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.get(name);
        if !probe.is_set() {
            continue;
        }
        handler(&probe, false, grace, e);
        let numbers = [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ];
        for number in numbers {
            not_negative(&probe.get(number), e);
        }
        let own = probe.get("terminationGracePeriodSeconds");
        if own.opt_int().is_some_and(|seconds| seconds <= 0) {
            e.invalid(&own, "must be greater than 0");
        }
        let successes = probe.get("successThreshold");
        if name == "readinessProbe" {
            if own.is_set() {
                e.invalid(&own, "must not be set for readinessProbes");
            }
        } else if successes.int() != 1 {
            e.invalid_as(&successes.path, successes.int(), "must be 1");
        }
    }
}

/// What runs after a container's start and before its end.
pub(super) fn lifecycle(container: &At<'_>, os: &At<'_>, grace: Option<i64>, e: &mut Errors) {
    let at = container.get("lifecycle");
    for name in ["postStart", "preStop"] {
        let hook = at.get(name);
        if hook.is_set() {
            handler(&hook, true, grace, e);
        }
    }
    let signal = at.get("stopSignal");
    if !signal.is_set() {
        return;
    }
    match os.get("name").str() {
        "" => e.forbidden(&signal.path, "may not be set for containers with empty `spec.os.name`"),
        "windows" => {
            e.one_of(&signal, &["SIGKILL", "SIGTERM"]);
        }
        _ => {
            e.one_of(&signal, SIGNALS);
        }
    }
}

fn handler(at: &At<'_>, hook: bool, grace: Option<i64>, e: &mut Errors) {
    let mut found = false;
    for name in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let handler = at.get(name);
        if !handler.is_set() || (name == "grpc" && hook) || (name == "sleep" && !hook) {
            continue;
        }
        if found {
            e.forbidden(&handler.path, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        match name {
            "exec" => {
                required(&handler.get("command"), e);
            }
            "httpGet" => http_get(&handler, e),
            "tcpSocket" => port_or_name(&handler.get("port"), e),
            "grpc" => port(&handler.get("port"), e),
            _ => sleep(&handler, grace, e),
        }
    }
    if !found {
        e.required(&at.path, "must specify a handler type");
    }
}

fn http_get(at: &At<'_>, e: &mut Errors) {
    required(&at.get("path"), e);
    port_or_name(&at.get("port"), e);
    e.one_of(&at.get("scheme"), &["HTTP", "HTTPS"]);
    for header in at.get("httpHeaders").items() {
        for wrong in http_header(header.get("name").str()) {
            e.invalid_as(&at.get("httpHeaders").path, header.get("name").str(), wrong);
        }
    }
    known_if_set(&at.get("protocol"), &["HTTP1", "HTTP2"], e);
}

fn sleep(at: &At<'_>, grace: Option<i64>, e: &mut Errors) {
    let seconds = at.get("seconds").int();
    if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
        let says = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        e.invalid_as(&at.path, seconds, says);
    }
}

const SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];
