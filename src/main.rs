//! The `sluicegate` program: hands over to [`sluicegate::cli`].

use std::process::ExitCode;

use sluicegate::cli::{Cli, Exit};

fn main() -> ExitCode {
    let cli = Cli::from_process();
    // It fails only where a provider is installed already, and nothing ran before this line.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()).into(),
        Err(error) => {
            eprintln!("sluicegate: cannot start: the system gives no threads: {error}");
            Exit::Failed.into()
        }
    }
}
