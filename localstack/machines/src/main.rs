//! `machines`: a body for each instance of LocalStack's EC2.
//!
//! `run` keeps machines, `clean` removes every trace of them and of everything
//! else started here, `spawn` starts a process that `clean` will find, `amis`
//! prints the images, `launch` is what `run` starts per machine.

mod cgroup;
mod clean;
mod command;
mod daemon;
mod decide;
mod dns;
mod folders;
mod forward;
mod images;
mod imds;
mod launch;
mod machine;
mod memory;
mod model;
mod names;
mod net;
mod observe;
mod process;
mod rules;
mod serve;
mod sockets;
mod spawn;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use base::Shutdown;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::folders::{Images, MachineFolder, State};

/// Machines for LocalStack's EC2 instances.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Subcommand)]
enum Commands {
    /// Keep one machine per instance until told to end; machines outlive it.
    Run {
        /// Where machines' disks and records are kept.
        #[arg(long)]
        state: PathBuf,
        /// What `localstack/images` made.
        #[arg(long)]
        images: PathBuf,
        /// EC2's address.
        #[arg(long, default_value = "http://127.0.0.1:4566")]
        endpoint: String,
        /// A region to look at; may be given more than once.
        #[arg(long = "region", default_value = "us-east-1")]
        regions: Vec<String>,
    },
    /// End every process started here and remove machines, namespaces, routes and cgroups.
    Clean {
        /// Where machines' disks and records are kept.
        #[arg(long)]
        state: PathBuf,
    },
    /// Start a process in the background, to be found by `clean`.
    Spawn {
        /// Its name: also its cgroup's.
        #[arg(long)]
        name: String,
        /// Where to write its pid.
        #[arg(long)]
        pid_file: PathBuf,
        /// Where its output goes.
        #[arg(long)]
        log: PathBuf,
        /// Program and arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Say whether the process of a pid file is alive (exit 0) or not (exit 1).
    Alive {
        /// The file that `spawn` or `run` wrote.
        pid_file: PathBuf,
    },
    /// Hand connections to an address on to another, until told to end.
    Forward {
        /// Address and port to listen on.
        #[arg(long)]
        listen: std::net::SocketAddr,
        /// Where they go.
        #[arg(long)]
        to: std::net::SocketAddr,
    },
    /// Print the images in the form of MOTO_AMIS_PATH.
    Amis,
    /// Become a machine.
    #[command(hide = true)]
    Launch {
        /// The machine's folder.
        #[arg(long)]
        machine: PathBuf,
        /// What `localstack/images` made.
        #[arg(long)]
        images: PathBuf,
    },
}

fn main() -> ExitCode {
    base::telemetry::init("info");
    match act() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("machines: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act() -> Result<ExitCode> {
    match Arguments::parse().command {
        Commands::Run { state, images, endpoint, regions } => {
            let settings =
                daemon::Settings { state: State::new(state), images: Images::new(images), endpoint, regions };
            runtime()?.block_on(until_told(settings))?;
        }
        Commands::Clean { state } => runtime()?.block_on(clean::clean(&State::new(state)))?,
        Commands::Spawn { name, pid_file, log, command } => {
            runtime()?.block_on(spawn::spawn(&name, &pid_file, &log, &command))?
        }
        Commands::Alive { pid_file } => {
            let alive = process::Process::read(&pid_file).is_some_and(process::Process::is_alive);
            return Ok(if alive { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Commands::Forward { listen, to } => runtime()?.block_on(forward::forward(listen, to))?,
        Commands::Amis => {
            println!("{:#}", images::amis());
        }
        Commands::Launch { machine, images } => {
            launch::launch(&MachineFolder::new(machine), &Images::new(images))?
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Runs the daemon until SIGTERM or SIGINT.
async fn until_told(settings: daemon::Settings) -> Result<()> {
    let shutdown = Shutdown::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let trigger = shutdown.clone();
    let listener = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        trigger.trigger();
    });
    let result = daemon::run(settings, shutdown).await;
    listener.abort();
    result
}
