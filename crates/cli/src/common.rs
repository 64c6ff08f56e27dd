//! What every verb shares: flags, exit codes, the model, and the way results are printed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use candle_core::Device;
use clap::Parser;
use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vdvae_datasets::{Dataset, OnBadImage, OpenOptions, Split, TargetColumn};
use vdvae_model::{Checkpoint, Preset, Vdvae, VdvaeConfig};

use crate::device::{DeviceArgs, is_out_of_memory};
use crate::download::{find_checkpoint, hub_options};
use crate::process::default_threads;

/// Most threads that may be asked for: a pool of more is a typing error, and may not even start.
pub(crate) const MAX_THREADS: usize = 1024;

/// Flags that every verb takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Seed of everything random: noise, splits, shuffles [example: --seed 1]
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Threads; 0 takes one for each core [example: --threads 2]
    #[arg(long, global = true, default_value_t = 0, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=MAX_THREADS as i64))]
    pub(crate) threads: u32,
    /// Print the machine-readable result instead of the table [example: --json]
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Compute every convolution directly, without Winograd's transforms: slower, and closer to
    /// the exact result in the sixth digit [example: --exact]
    #[arg(long, global = true)]
    pub(crate) exact: bool,
}

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

impl Common {
    /// Starts the threads and checks what every verb is told.
    pub(crate) fn set_up(&self) -> Result<()> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(if self.threads == 0 { default_threads() } else { self.threads as usize })
            .build_global()
            .context("cannot start the threads")?;
        vdvae_ops::requested_instruction_set().map_err(usage)?;
        vdvae_ops::set_exact(self.exact);
        self.device.check()
    }
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
        eprintln!("{}", one_line(&error.render().to_string()));
        ExitCode::from(2)
    })
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
    lines.collect::<Vec<_>>().join(" ")
}

/// Writes a result to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// A progress bar on stderr that shows itself only on a terminal.
pub(crate) fn progress(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = "{msg} {wide_bar} {pos}/{len} {per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    bar.set_message(what);
    bar
}

/// Which network to load.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArgs {
    /// Checkpoint: a .safetensors file of ours, a published PyTorch .th file with --preset or
    /// --config, hf:OWNER/REPO[/FILE], or a name that `vdvae fetch` knows; the built-in model
    /// without it [example: --checkpoint model.safetensors]
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// The configuration of a checkpoint that does not carry its own.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct NetworkArgs {
    /// A published or built-in configuration [example: --preset imagenet64]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub(crate) preset: Option<String>,
    /// A configuration as JSON [example: --config config.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl NetworkArgs {
    /// The configuration asked for, if any.
    pub(crate) fn config(&self) -> Result<Option<VdvaeConfig>> {
        if let Some(name) = &self.preset {
            let preset: Preset = name.parse().map_err(|e| usage(format!("--preset: {e}")))?;
            return Ok(Some(preset.config()));
        }
        let Some(path) = &self.config else { return Ok(None) };
        let config = VdvaeConfig::read(path).map_err(|error| match error {
            // What is wrong with a value is said without the file it came from.
            vdvae_model::Error::Config { .. } => {
                anyhow::Error::new(error).context(path.display().to_string())
            }
            other => other.into(),
        })?;
        Ok(Some(config))
    }
}

/// A network and what identifies it.
pub(crate) struct LoadedModel {
    pub(crate) model: Vdvae,
    /// Checkpoint's file name, or `built-in`.
    pub(crate) name: String,
    /// SHA-256 of the weights file.
    pub(crate) sha256: String,
    pub(crate) metadata: std::collections::BTreeMap<String, String>,
}

/// Reads a checkpoint and builds its network.
pub(crate) fn load_checkpoint(
    path: &Path,
    network: &NetworkArgs,
    device: &Device,
) -> Result<LoadedModel> {
    let given = network.config()?;
    let found = find_checkpoint(path)?;
    let (path, preset) = (found.path.as_path(), found.preset);
    let given = given.or_else(|| preset.map(|preset| preset.config()));
    let checkpoint = Checkpoint::read(path)?;
    let config = checkpoint.resolve_config(given.as_ref()).map_err(usage_if_no_config)?;
    // Here, where the file's name is known to the message.
    checkpoint.check(&config)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(LoadedModel {
        model: Vdvae::new(&config, &checkpoint.weights, device)?,
        name,
        sha256: checkpoint.sha256,
        metadata: checkpoint.metadata,
    })
}

/// A missing configuration is a missing flag.
pub(crate) fn usage_if_no_config(error: vdvae_model::Error) -> anyhow::Error {
    match error {
        vdvae_model::Error::NoConfig { .. } => usage(error),
        other => other.into(),
    }
}

impl ModelArgs {
    /// The network asked for, or the built-in one, where and in the numbers asked for.
    pub(crate) fn load(&self, common: &Common) -> Result<LoadedModel> {
        let device = common.device.open()?;
        common.device.precision_on(&device)?;
        let LoadedModel { model, name, sha256, metadata } = self.load_on(&device)?;
        Ok(LoadedModel { model: common.device.settle(model)?, name, sha256, metadata })
    }

    /// The same on a device, in float32.
    pub(crate) fn load_on(&self, device: &Device) -> Result<LoadedModel> {
        match &self.checkpoint {
            Some(path) => load_checkpoint(path, &self.network, device),
            None if self.network.preset.is_some() || self.network.config.is_some() => Err(usage(
                "--preset and --config describe a checkpoint: expected --checkpoint FILE",
            )),
            None => {
                let checkpoint = vdvae_model::builtin_checkpoint()?;
                let config = checkpoint.resolve_config(None)?;
                Ok(LoadedModel {
                    model: Vdvae::new(&config, &checkpoint.weights, device)?,
                    name: "built-in".into(),
                    sha256: checkpoint.sha256,
                    metadata: checkpoint.metadata,
                })
            }
        }
    }
}

/// How often latents are sampled.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SamplesArg {
    /// Posterior samples averaged, with --statistic z; --seed seeds them [example: --samples 8]
    #[arg(long, default_value_t = 1, value_name = "K",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) samples: u32,
}

/// Which pictures to read.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArgs {
    /// The data set's own folder or archive; $VDVAE_DATA is a folder that holds several by name
    /// [example: --data-root data/celeba]
    #[arg(long, value_name = "PATH")]
    pub(crate) data_root: Option<PathBuf>,
    /// CelebA: a file of splits in place of list_eval_partition.txt
    /// [example: --partition my_split.txt]
    #[arg(long, value_name = "FILE")]
    pub(crate) partition: Option<PathBuf>,
    /// Columns of csv:FILE to predict, with their types where those are not to be found from the
    /// cells: NAME, NAME:binary, NAME:real or NAME:class [example: --targets age:real]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(crate) targets: Vec<TargetColumn>,
    /// What happens to a picture that cannot be read [example: --on-bad-image skip]
    #[arg(long, value_name = "fail|skip", default_value = "fail")]
    pub(crate) on_bad_image: String,
}

impl DataArgs {
    /// Opens a data set by the name it has in the registry, for these splits: others may be left
    /// out where they would have to be downloaded.
    ///
    /// Splits and rendered pictures have a seed of their own, which never changes: with another
    /// one, pictures a network was trained on would turn up in its test split.
    pub(crate) fn open(&self, name: &str, splits: &[Split]) -> Result<Box<dyn Dataset>> {
        if !self.targets.is_empty() && name != "csv" && !name.starts_with("csv:") {
            let expected = "expected csv:FILE, which has columns to choose from";
            return Err(usage(format!("--targets: {expected}, found {name}")));
        }
        vdvae_datasets::open(name, &self.options(splits)).map_err(not_found)
    }

    /// Where a data set lies.
    pub(crate) fn locate(&self, name: &str) -> Result<PathBuf> {
        vdvae_datasets::locate(name, &self.options(&[])).map_err(not_found)
    }

    fn options(&self, splits: &[Split]) -> OpenOptions {
        OpenOptions {
            targets: self.targets.clone(),
            data_root: self.data_root.clone(),
            partition: self.partition.clone(),
            splits: splits.to_vec(),
            hub: hub_options(),
            ..OpenOptions::from_env()
        }
    }

    pub(crate) fn on_bad_image(&self) -> Result<OnBadImage> {
        self.on_bad_image.parse().map_err(usage)
    }
}

/// A name or a path that was not given right is a mistake in what was asked for.
fn not_found(error: vdvae_datasets::Error) -> anyhow::Error {
    match error {
        vdvae_datasets::Error::UnknownDataset { .. }
        | vdvae_datasets::Error::NoPath { .. }
        | vdvae_datasets::Error::NoData { .. }
        | vdvae_datasets::Error::Address(_) => usage(error),
        other => other.into(),
    }
}

/// Fails where a file cannot be written, before the work whose result it is to hold.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    vdvae_io::check_writable(path).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => {
            usage(format!("{}: expected a file's name, found a folder", path.display()))
        }
        _ => anyhow::Error::new(error).context(cannot_write(path)),
    })
}

/// What is said of a file that cannot be written.
pub(crate) fn cannot_write(path: &Path) -> String {
    format!("{}: cannot write", path.display())
}

/// Fails unless a temperature is a number from 0 up.
pub(crate) fn check_temperature(temperature: f64) -> Result<()> {
    match temperature.is_finite() && temperature >= 0.0 {
        true => Ok(()),
        false => Err(usage(format!("--temperature: expected 0 or more, found {temperature}"))),
    }
}

/// Says on stderr which pictures were left out.
pub(crate) fn report_skipped(skipped: &[(String, String)]) {
    for (key, reason) in skipped {
        eprintln!("skipped {key}: {reason}");
    }
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
    }
}
