//! With a terminal: the question, colours, the live line, 80 columns.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::endpoint::{Endpoint, Refusal};
use crate::run::Place;

/// No dialogue takes longer.
const PATIENCE: Duration = Duration::from_secs(40);

/// A run on a terminal of 80 columns; `answers` are typed when their question has been asked.
fn on_terminal(place: &Place, arguments: &[&str], answers: &[(&str, &str)]) -> (Option<i32>, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("its other side");
    let name = ptsname(&ours, Vec::new()).expect("its name");
    let theirs: OwnedFd =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its other side");
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size).expect("its size");
    let side = || theirs.try_clone().expect("another handle");
    let mut command = place.command(arguments);
    command.stdin(side()).stdout(side()).stderr(side());
    let mut child = command.spawn().expect("the program starts");
    // The command holds handles too: the end is seen when the last is closed.
    drop((command, theirs));
    let mut reader = File::from(ours);
    let mut writer = reader.try_clone().expect("another handle");
    let (sender, chunks) = mpsc::channel();
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        // A terminal whose other side is closed answers with an error.
        while let Ok(length @ 1..) = reader.read(&mut chunk) {
            if sender.send(chunk[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let (began, mut seen, mut answers) = (Instant::now(), Vec::new(), answers.iter());
    let mut next = answers.next();
    loop {
        match chunks.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
            Ok(chunk) => seen.extend(chunk),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().expect("it can be ended");
                panic!("it did not end:\n{}", String::from_utf8_lossy(&seen));
            }
        }
        if let Some((question, answer)) = next
            && String::from_utf8_lossy(&seen).contains(question)
        {
            writer.write_all(answer.as_bytes()).expect("it can be typed");
            next = answers.next();
        }
    }
    let text = String::from_utf8_lossy(&seen).replace("\r\n", "\n");
    (child.wait().expect("it ended").code(), text)
}

#[test]
fn up_asks_on_a_terminal_and_takes_only_the_whole_word() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    let (code, screen) = on_terminal(&place, &["up"], &[("go on: ", "y\n")]);
    assert_eq!(code, Some(1), "{screen}");
    let (_, end) = screen.split_once("traffic and taxes\n").expect("the summary");
    insta::assert_snapshot!(place.tidy(&end.replace('\x1b', "[esc]")));
    assert_eq!(endpoint.changes(), Vec::<String>::new());
    endpoint.refuse("RunInstances", Refusal::new("VcpuLimitExceeded", "No."));
    let (code, screen) = on_terminal(&place, &["up"], &[("go on: ", "yes\n")]);
    assert_eq!((code, endpoint.count("CreateVpc")), (Some(1), 1), "{screen}");
}

#[test]
fn down_asks_for_the_clusters_name_and_its_live_line_never_wraps() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    endpoint.refuse("RunInstances", Refusal::new("VcpuLimitExceeded", "No."));
    place.run(&["up", "--yes"]);
    let before = endpoint.changes().len();
    let (code, screen) = on_terminal(&place, &["down"], &[("go on: ", "yes\n")]);
    assert_eq!((code, endpoint.changes().len()), (Some(1), before), "{screen}");
    let (_, end) = screen.split_once("VPCs").expect("the list");
    insta::assert_snapshot!(place.tidy(&end.replace('\x1b', "[esc]")));
    let (code, screen) = on_terminal(&place, &["down"], &[("go on: ", "demo\n")]);
    assert_eq!((code, endpoint.account(|account| account.resources.len())), (Some(0), 0), "{screen}");
    assert!(screen.contains("down: the proof: 1 listing shows nothing"), "{screen:?}");
    for line in screen.split("\x1b[?7l").skip(1) {
        let (line, rest) = line.split_once("\x1b[?7h").expect("wrapping is switched on again");
        assert!(!line.contains('\n') && rest.starts_with("\r\x1b[K"), "{screen:?}");
    }
}

#[test]
fn errors_are_red_on_a_terminal_and_plain_with_no_color() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    endpoint.refuse("GetCallerIdentity", Refusal::new("ExpiredToken", "The security token is expired"));
    let (_, red) = on_terminal(&place, &["plan"], &[]);
    assert!(red.starts_with("\x1b[31merror:\x1b[0m GetCallerIdentity: ExpiredToken"), "{red:?}");
    let place = place.with("NO_COLOR", "1");
    let (_, plain) = on_terminal(&place, &["plan"], &[]);
    assert!(plain.starts_with("error: GetCallerIdentity") && !plain.contains('\x1b'), "{plain:?}");
    let place = place.without("NO_COLOR").with("TERM", "dumb");
    let (_, dumb) = on_terminal(&place, &["plan"], &[]);
    assert!(!dumb.contains('\x1b'), "{dumb:?}");
}

#[test]
fn help_fits_80_columns() {
    let place = Place::empty();
    for command in ["init", "plan", "up", "status", "ssh", "pki", "down", "completions", "man"] {
        let (code, screen) = on_terminal(&place, &[command, "--help"], &[]);
        assert_eq!(code, Some(0), "{screen}");
        for line in screen.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
}
