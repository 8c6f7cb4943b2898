//! The commands: a file each. They wire parts together and print; they decide nothing.

mod access;
mod agent;
mod app;
mod arguments;
mod ask;
mod completions;
mod context;
mod crash;
mod decide;
mod down;
mod files;
mod fleet;
mod image;
mod init;
mod interrupt;
mod kubeconfig;
mod man;
mod node;
mod notify;
mod output;
mod pki;
mod plan;
mod progress;
mod reach;
mod server;
mod snapshot;
mod ssh;
mod status;
mod target;
mod up;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use arguments::{Cluster, Command};
use output::Failure;

/// Exit status for "there are changes" (`plan`).
const CHANGES: u8 = 2;
/// How long a finished command waits for its connections to close.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Parses the command line and runs it.
pub(crate) fn run() -> ExitCode {
    let arguments = Cluster::parse();
    // Its warnings are the errors that we report, said twice and in its own words.
    base::telemetry::init("warn,aws_config=error");
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::print_error(&anyhow::Error::new(error).context("start the runtime"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(dispatch(arguments.command));
    // Tasks that hold sessions go first, then the sessions' threads: bounded, since a
    // host that does not answer must not keep a finished command.
    runtime.shutdown_timeout(LAST_WAIT);
    remote::wait_for_connections(LAST_WAIT);
    match result {
        Ok(code) => code,
        Err(error) => {
            if error.downcast_ref::<Failure>().is_none_or(|failure| !failure.said) {
                output::print_error(&error);
            }
            error.downcast_ref::<Failure>().map_or(ExitCode::FAILURE, |failure| ExitCode::from(failure.code))
        }
    }
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Schema => init::schema(),
        Command::Plan(arguments) => plan::run(&arguments).await,
        Command::Up(arguments) => up::run(&arguments).await,
        Command::Status(arguments) => status::run(&arguments).await,
        Command::Ssh(arguments) => ssh::run(&arguments).await,
        Command::Image(arguments::Image::Load(arguments)) => image::load(&arguments).await,
        Command::New(arguments::New::App(arguments)) => app::new::app(&arguments),
        Command::Deploy(arguments) => app::deploy::run(&arguments).await,
        Command::Get(arguments) => app::get::run(&arguments).await,
        Command::Logs(arguments) => app::logs::run(&arguments).await,
        Command::Rollback(arguments) => app::rollback::run(&arguments).await,
        Command::Kubeconfig(arguments) => kubeconfig::run(&arguments).await,
        Command::Pki(arguments) => pki::run(&arguments).await,
        Command::Down(arguments) => down::run(&arguments).await,
        Command::Server(arguments) => server::run(&arguments).await,
        Command::Agent(arguments) => agent::run(&arguments).await,
        Command::Snapshot(command) => snapshot::run(&command).await,
        Command::Node(command) => node::run(&command).await,
        Command::Completions { shell } => completions::run(shell),
        Command::Man { folder } => man::run(folder.as_deref()),
    }
}
