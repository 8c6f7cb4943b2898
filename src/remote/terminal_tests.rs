//! A pseudo-terminal and pipes joined to a real SSH server.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read as _, Write as _, pipe};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use base::Shutdown;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, getpid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::fixture::{SOON, Sshd, ssh};
use crate::*;

/// A terminal as a person sees it: something to type on and a screen.
struct Person {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    terminal: OwnedFd,
}

impl Person {
    fn sit_down() -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let mut reader = File::from(keyboard.try_clone().unwrap());
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0_u8; 4096];
            while let Ok(count) = reader.read(&mut bytes) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { keyboard: File::from(keyboard), screen, terminal }
    }

    fn resize(&self, width: u16, height: u16) {
        let size = Winsize { ws_col: width, ws_row: height, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).unwrap();
    }

    fn type_line(&mut self, line: &str) {
        self.keyboard.write_all(line.as_bytes()).unwrap();
        self.keyboard.write_all(b"\r").unwrap();
    }

    async fn sees(&self, text: &str) {
        let deadline = Instant::now() + SOON;
        loop {
            let screen = self.screen.lock().unwrap().clone();
            if screen.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "no {text:?} on:\n{screen}");
            tokio::task::yield_now().await;
        }
    }

    fn raw(&self) -> bool {
        !tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    fn attach(&self) -> Attach {
        let fd = || self.terminal.try_clone().unwrap();
        Attach { command: None, terminal: Some("xterm".to_owned()), stdin: fd(), stdout: fd(), stderr: fd() }
    }
}

#[tokio::test]
async fn a_person_gets_a_shell_of_the_terminals_size_and_the_terminal_back() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let mut person = Person::sit_down();
    person.resize(100, 40);
    let (remote, target, attach) = (ssh(), sshd.target(), person.attach());
    let shell = tokio::spawn(async move { remote.attach(&target, attach).await });
    // What is typed is not what is looked for: the echo does not count.
    person.type_line("echo \"[$TERM] [$(stty size)]\"");
    person.sees("[xterm] [40 100]").await;
    assert!(person.raw());
    person.resize(77, 33);
    kill_process(getpid(), Signal::WINCH).unwrap();
    person.type_line("until [ \"$(stty size)\" = \"33 77\" ]; do sleep 0.01; done; echo re\"\"sized");
    person.sees("resized").await;
    person.type_line("exit 3");
    assert_eq!(shell.await.unwrap().unwrap(), 3);
    assert!(!person.raw());
}

#[tokio::test]
async fn stopping_gives_the_terminal_back_at_once() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let mut person = Person::sit_down();
    let shutdown = Shutdown::new();
    let remote = Ssh::new(Limits::default(), shutdown.clone());
    let (target, attach) = (sshd.target(), person.attach());
    let shell = tokio::spawn(async move { remote.attach(&target, attach).await });
    person.type_line("echo re\"\"ady");
    person.sees("ready").await;
    let stopped = Instant::now();
    shutdown.trigger();
    assert!(matches!(shell.await.unwrap(), Err(RemoteError::Cancelled { .. })));
    assert!(stopped.elapsed().as_secs() < 1);
    assert!(!person.raw());
}

fn collect(mut from: impl std::io::Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    })
}

#[tokio::test]
async fn a_command_joined_to_pipes_keeps_its_streams_apart() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let (stdin, mut feed) = pipe().unwrap();
    let (printed, stdout) = pipe().unwrap();
    let (complained, stderr) = pipe().unwrap();
    let content: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 253) as u8).collect();
    let sent = content.clone();
    let feeding = std::thread::spawn(move || feed.write_all(&sent).unwrap());
    let (printed, complained) = (collect(printed), collect(complained));
    let attach = Attach {
        command: Some("cat; echo done >&2; exit 5".to_owned()),
        terminal: None,
        stdin: stdin.into(),
        stdout: stdout.into(),
        stderr: stderr.into(),
    };
    assert_eq!(ssh().attach(&sshd.target(), attach).await.unwrap(), 5);
    feeding.join().unwrap();
    assert!(printed.join().unwrap() == content);
    assert_eq!(complained.join().unwrap(), b"done\n");
}

#[tokio::test]
async fn a_command_whose_output_nobody_reads_any_more_ends() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let (stdin, feed) = pipe().unwrap();
    let (printed, stdout) = pipe().unwrap();
    let stderr = stdout.try_clone().unwrap();
    drop(printed);
    let attach = Attach {
        command: Some("yes".to_owned()),
        terminal: None,
        stdin: stdin.into(),
        stdout: stdout.into(),
        stderr: stderr.into(),
    };
    let error = ssh().attach(&sshd.target(), attach).await.unwrap_err();
    assert!(matches!(error, RemoteError::Local { .. }), "{error}");
    drop(feed);
}
