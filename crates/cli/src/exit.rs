//! How a program ends: mistakes in what was asked for, errors on one line, exit codes.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use vdvae_io::printable;

/// A mistake in what was asked for, found before any work: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error that ends the program with exit code 2.
pub(crate) fn usage(message: impl std::fmt::Display) -> anyhow::Error {
    anyhow::Error::new(Usage(message.to_string()))
}

/// Reads the command line. A mistake in it is one line on stderr and exit code 2; help and version
/// are printed as clap does.
pub(crate) fn parse<T: Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        let help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        if help || !error.use_stderr() {
            // A reader that has gone is no error.
            let _ = error.print();
            return ExitCode::from(if help { 2 } else { 0 });
        }
        let text = own_words(&error).unwrap_or_else(|| one_line(&error.render().to_string()));
        eprintln!("{text}");
        ExitCode::from(2)
    })
}

/// What one of our parsers says of a flag's value, after the flag: it quotes the value itself.
fn own_words(error: &clap::Error) -> Option<String> {
    let ContextValue::String(flag) = error.get(ContextKind::InvalidArg)? else { return None };
    let flag = flag.split(' ').next()?;
    let text = error.source().map(ToString::to_string).filter(|text| text.contains("found"))?;
    // A parser that names what it reads as the flag does need not be quoted twice.
    let (what, rest) = text.split_once(": ").unwrap_or_default();
    let named = flag.trim_start_matches('-') == what.replace(' ', "-");
    Some(format!("error: {flag}: {}", if named { rest } else { &text }))
}

/// clap's message without the usage that follows it, on one line.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let lines =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut text = String::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let between = match text.chars().last() {
            None => "",
            Some(':') => " ",
            Some(_) => "; ",
        };
        text += between;
        text += line;
    }
    text
}

/// Runs a program: prints the error's whole chain on one line and maps it to an exit code.
/// A reader that closes the pipe early is no error. `less_memory` says what would take less of a
/// GPU's memory.
pub(crate) fn exit_with(result: Result<()>, less_memory: &str) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let closed_pipe = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
    if closed_pipe {
        return ExitCode::SUCCESS;
    }
    if is_out_of_memory(&error) {
        eprintln!("error: the memory of the GPU does not suffice: {less_memory} takes less");
        return ExitCode::FAILURE;
    }
    eprintln!("error: {}", causes(&error));
    if error.downcast_ref::<Usage>().is_some() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// The chain of causes on one line, without those that the one before already quotes.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(|cause| one_line_of(&cause.to_string())) {
        if !text.ends_with(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text += colon;
            text += &cause;
        }
    }
    text
}

/// A cause on one line, without the backtrace that candle appends where `RUST_BACKTRACE` is set.
fn one_line_of(cause: &str) -> String {
    let lines = cause.lines().take_while(|line| !line.trim_start().starts_with("0: "));
    printable(&lines.collect::<Vec<_>>().join(" "))
}

/// Whether an error says that the memory of a GPU does not suffice, wherever it was noticed.
fn is_out_of_memory(error: &anyhow::Error) -> bool {
    // As the driver, cuBLAS and cuDNN name it; their errors reach us as text only.
    const NAMES: [&str; 4] = [
        "CUDA_ERROR_OUT_OF_MEMORY",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ];
    error.chain().any(|cause| {
        let text = cause.to_string();
        NAMES.iter().any(|name| text.contains(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_without_its_backtrace() {
        let inner = "CUDA GPU 0: no driver\n   0: candle_core::error::Error::bt\n   1: main";
        let error = anyhow::anyhow!(inner).context("--device cuda:0");
        assert_eq!(causes(&error), "--device cuda:0: CUDA GPU 0: no driver");
        assert_eq!(causes(&anyhow::anyhow!("two\nlines")), "two lines");
        assert_eq!(causes(&anyhow::anyhow!("no \u{1b}[2Jfile")), "no \\u{1b}[2Jfile");
    }

    #[test]
    fn memory_that_does_not_suffice_is_known_by_its_name() {
        let driver = r#"DriverError(CUDA_ERROR_OUT_OF_MEMORY, "out of memory")"#;
        let error = candle_core::Error::Msg(driver.to_owned());
        let error = anyhow::Error::new(vdvae_train::Error::Candle(error)).context("step 3");
        assert!(is_out_of_memory(&error));
        assert!(!is_out_of_memory(&anyhow::anyhow!("No space left on device")));
    }
}
