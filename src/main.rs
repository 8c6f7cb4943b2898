//! `cluster`: raises a Kubernetes cluster on EC2 machines, and keeps it.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
