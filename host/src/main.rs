use std::process::ExitCode;

fn main() -> ExitCode {
    pinhost::cli::main()
}
