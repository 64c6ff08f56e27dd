//! `vdvae train`.

use std::path::PathBuf;

use anyhow::Result;
use candle_core::Device;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use vdvae_datasets::Split;
use vdvae_model::{Preset, VdvaeConfig};
use vdvae_train::{Error, Event, Metrics, Run, Schedule, Skip, Summary, TrainConfig, check_out};

use crate::common::Common;
use crate::data::{DataArgs, data_help};
use crate::device;
use crate::exit::usage;
use crate::model::{NetworkArgs, read_checkpoint};
use crate::output::print;

/// Flags that are not given take the value of the preset, or of the `train` section of --config.
#[derive(Debug, clap::Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    network: NetworkArgs,
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]", help = data_help())]
    data: String,
    #[command(flatten)]
    source: DataArgs,
    /// Folder for everything that is written: empty or new, unless --resume
    /// [example: --out runs/c10]
    #[arg(long, value_name = "DIR", default_value = "vdvae-train-out")]
    out: PathBuf,
    /// Continue the newest complete checkpoint in --out; start fresh where there is none
    /// [example: --resume]
    #[arg(long)]
    resume: bool,
    /// Checkpoint whose weights training starts at, as for --checkpoint of other commands: random
    /// ones without it. The network is its own; a run is resumed with the same --init
    /// [example: --init runs/c10/model.safetensors]
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    #[command(flatten)]
    values: Values,
}

/// The values of [`TrainConfig`], each from the preset unless it is given.
#[derive(Debug, clap::Args)]
struct Values {
    /// Steps in all, those before --resume included [default: 2000 for toy-faces, 100000 for
    /// published presets] [example: --steps 5000]
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Pictures per step [default: of the preset] [example: --batch-size 32]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Step size after the warm-up [default: of the preset] [example: --learning-rate 2e-4]
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// How the step size goes on after the warm-up: half a cosine falls to 0 at the last step
    /// [default: constant] [example: --schedule cosine]
    #[arg(long, value_name = "constant|cosine")]
    schedule: Option<Schedule>,
    /// Steps over which the step size rises from 0 [default: 100] [example: --warmup-steps 500]
    #[arg(long, value_name = "N")]
    warmup_steps: Option<u64>,
    /// Steps over which the weight of the KL in the loss rises from 0 [default: 0]
    /// [example: --kl-warmup-steps 1000]
    #[arg(long, value_name = "N")]
    kl_warmup_steps: Option<u64>,
    /// Decoupled weight decay of AdamW [default: 0.01] [example: --weight-decay 0]
    #[arg(long, value_name = "DECAY")]
    weight_decay: Option<f64>,
    /// Gradient norm, in nats per dimension, above which the gradient is scaled down to it
    /// [default: of the preset] [example: --grad-clip 200]
    #[arg(long, value_name = "NORM")]
    grad_clip: Option<f64>,
    /// Gradient norm from which on an update is skipped; adaptive:K is K times the median of the
    /// last 100 norms [default: of the preset] [example: --skip adaptive]
    #[arg(long, value_name = "NORM|adaptive[:K]|none")]
    skip: Option<Skip>,
    /// Decay per update of the moving average of the weights [default: of the preset]
    /// [example: --ema-rate 0.999]
    #[arg(long, value_name = "RATE")]
    ema_rate: Option<f64>,
    /// Let the average forget the initial weights soon: its decay at update n is at most
    /// (1 + n) / (10 + n) [default: no] [example: --ema-warmup]
    #[arg(long)]
    ema_warmup: bool,
    /// Mirror every picture with probability one half [default: no] [example: --flip]
    #[arg(long)]
    flip: bool,
    /// Move every picture by up to so many pixels in either direction, at the network's size; its
    /// edge fills what it leaves [default: 0] [example: --shift 2]
    #[arg(long, value_name = "N")]
    shift: Option<usize>,
    /// Compute what is inside blocks again in the gradient instead of keeping it: less memory
    /// for more time, and the same numbers [default: no] [example: --recompute]
    #[arg(long)]
    recompute: bool,
    /// Steps between checkpoints; 0 writes one at the end only [default: 500 for toy-faces, 1000
    /// for published presets] [example: --save-every 1000]
    #[arg(long, value_name = "N")]
    save_every: Option<u64>,
    /// Newest checkpoints that are kept [default: 5] [example: --keep-checkpoints 2]
    #[arg(long, value_name = "N")]
    keep_checkpoints: Option<usize>,
    /// Steps between evaluations on the validation split; 0 for none [default: as --save-every]
    /// [example: --eval-every 250]
    #[arg(long, value_name = "N")]
    eval_every: Option<u64>,
    /// Pictures of the validation split that are evaluated [default: 256]
    /// [example: --eval-images 1000]
    #[arg(long, value_name = "N")]
    eval_images: Option<usize>,
    /// Steps between sample grids; 0 for none [default: as --save-every]
    /// [example: --sample-every 250]
    #[arg(long, value_name = "N")]
    sample_every: Option<u64>,
    /// Steps between points of the TensorBoard curves; 0 for none [default: 10]
    /// [example: --log-every 1]
    #[arg(long, value_name = "N")]
    log_every: Option<u64>,
}

pub(crate) fn run(args: TrainArgs, common: &Common) -> Result<()> {
    let init = args.init.as_ref().map(|path| read_checkpoint(path, &args.network)).transpose()?;
    let (network, config) = args.configs(init.as_ref().map(|init| &init.config), common)?;
    let device = common.device.open()?;
    config.precision.check(&device).map_err(|error| usage(format!("--{error}")))?;
    // Before the data set is opened, which may take a while.
    check_out(&args.out, args.resume).map_err(usage_or_failure)?;
    let on_bad_image = args.source.on_bad_image;
    let splits = [Split::Train, Split::Valid];
    let splits = if config.eval_every == 0 { &splits[..1] } else { &splits };
    let dataset = args.source.open(&args.data, splits);
    let dataset = dataset.inspect_err(|_| {
        // Nothing was begun: a folder that is still empty goes again, any other stays.
        let _ = std::fs::remove_dir(&args.out);
    })?;
    let run = Run {
        network: &network,
        config: &config,
        dataset: &*dataset,
        preparation: args.source.orientation.preparation(network.image_size),
        on_bad_image,
        device: &device,
        out: &args.out,
        resume: args.resume,
        init: init.as_ref().map(|init| &init.checkpoint),
    };
    let mut display = Display::new(&device);
    let summary = vdvae_train::train(&run, &mut |event| display.show(event));
    display.finish();
    report(&summary.map_err(usage_or_failure)?, common)
}

fn usage_or_failure(error: Error) -> anyhow::Error {
    match error {
        Error::OutNotEmpty { .. } => {
            usage(format!("{error}: --resume continues a run, another --out starts one"))
        }
        _ if error.is_usage() => usage(error),
        _ => error.into(),
    }
}

impl TrainArgs {
    /// The network, which is `init` where there is one, and how it is trained.
    fn configs(
        &self,
        init: Option<&VdvaeConfig>,
        common: &Common,
    ) -> Result<(VdvaeConfig, TrainConfig)> {
        let fits = |preset: &Preset| init.is_some_and(|network| preset.config() == *network);
        let preset = self.network.preset.or_else(|| Preset::ALL.into_iter().find(fits));
        // What a configuration of one's own is most likely to be: a small one.
        let preset = preset.unwrap_or(Preset::ToyFaces);
        let network = match init {
            Some(network) => network.clone(),
            None => self.network.config()?.unwrap_or_else(|| preset.config()),
        };
        let section = match &self.network.config {
            Some(path) => TrainConfig::read(path).map_err(usage_or_failure)?,
            None => None,
        };
        let start = section.unwrap_or_else(|| TrainConfig::preset(preset));
        let precision = common.device.precision.unwrap_or(start.precision);
        let config = self.values.over(TrainConfig {
            seed: common.seed,
            precision,
            exact: common.exact,
            ..start
        });
        config.validate().map_err(usage_or_failure)?;
        Ok((network, config))
    }
}

impl Values {
    /// `start`, with the values that were given.
    fn over(&self, start: TrainConfig) -> TrainConfig {
        TrainConfig {
            steps: self.steps.unwrap_or(start.steps),
            batch_size: self.batch_size.unwrap_or(start.batch_size),
            learning_rate: self.learning_rate.unwrap_or(start.learning_rate),
            schedule: self.schedule.unwrap_or(start.schedule),
            warmup_steps: self.warmup_steps.unwrap_or(start.warmup_steps),
            kl_warmup_steps: self.kl_warmup_steps.unwrap_or(start.kl_warmup_steps),
            weight_decay: self.weight_decay.unwrap_or(start.weight_decay),
            grad_clip: self.grad_clip.unwrap_or(start.grad_clip),
            skip: self.skip.unwrap_or(start.skip),
            ema_rate: self.ema_rate.unwrap_or(start.ema_rate),
            ema_warmup: self.ema_warmup || start.ema_warmup,
            flip: self.flip || start.flip,
            shift: self.shift.unwrap_or(start.shift),
            recompute: self.recompute || start.recompute,
            save_every: self.save_every.unwrap_or(start.save_every),
            keep_checkpoints: self.keep_checkpoints.unwrap_or(start.keep_checkpoints),
            eval_every: self.eval_every.or(self.save_every).unwrap_or(start.eval_every),
            eval_images: self.eval_images.unwrap_or(start.eval_images),
            sample_every: self.sample_every.or(self.save_every).unwrap_or(start.sample_every),
            log_every: self.log_every.unwrap_or(start.log_every),
            ..start
        }
    }
}

/// A bar on a terminal; everywhere else a line now and then.
struct Display {
    bar: ProgressBar,
    lines: LineRate,
    /// Where the network is trained.
    device: String,
}

/// Lines come at steps 1, 2, 4, … and then every so many steps, so that a log stays short.
#[derive(Default)]
struct LineRate {
    steps: u64,
}

impl LineRate {
    const EVERY: u64 = 50;

    fn due(&self, step: u64) -> bool {
        step.is_power_of_two() && step < Self::EVERY
            || step.is_multiple_of(Self::EVERY)
            || step == self.steps
    }
}

impl Display {
    fn new(device: &Device) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = "training {wide_bar} {pos}/{len} {eta} {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
        Self { bar, lines: LineRate::default(), device: device::name(device) }
    }

    fn show(&mut self, event: &Event) {
        if let Some(warning) = event.warning() {
            let flags = match event {
                Event::Stuck { .. } => " (--learning-rate RATE, --skip adaptive)",
                _ => "",
            };
            return self.line(&format!("warning: {warning}{flags}"));
        }
        match event {
            Event::Started { step, steps, images, parameters, .. } => {
                self.lines.steps = *steps;
                self.bar.set_length(*steps);
                self.bar.set_position(*step);
                let after = if *step > 0 { format!(" after step {step}") } else { String::new() };
                self.line(&format!(
                    "training {parameters} parameters on {images} pictures on {}: {steps} \
                     steps{after}",
                    self.device
                ));
            }
            Event::Step(metrics) => self.step(metrics),
            Event::Wrote(path) => self.line(&format!("wrote {}", path.display())),
            _ => {}
        }
    }

    fn step(&mut self, metrics: &Metrics) {
        let m = metrics.stats;
        let bits = m.nats_per_dim / std::f64::consts::LN_2;
        let skipped = if m.skipped { " skipped" } else { "" };
        let speed = metrics.images_per_second;
        self.bar.set_position(m.step);
        self.bar.set_message(format!("{bits:.3} bits/dim {speed:.1} images/s{skipped}"));
        let valid = metrics.valid.as_ref();
        let valid = valid.map(|valid| format!(" valid {:.4} bits/dim", valid.bits_per_dim()));
        if valid.is_some() || self.bar.is_hidden() && self.lines.due(m.step) {
            self.line(&format!(
                "step {} {bits:.4} bits/dim (distortion {:.4} + rate {:.4} nats) norm {:.2} \
                 {speed:.1} images/s{skipped}{}",
                m.step,
                m.distortion,
                m.rate,
                m.grad_norm,
                valid.unwrap_or_default()
            ));
        }
    }

    /// A line above the bar, on stderr.
    fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn report(summary: &Summary, common: &Common) -> Result<()> {
    let Summary { steps, updates, resumed_from, last, model, sha256, .. } = summary;
    if common.json {
        return print(&serde_json::to_string_pretty(&json!({
            "steps": steps, "updates": updates, "resumed_from": resumed_from, "last": last,
            "model": model, "sha256": sha256,
        }))?);
    }
    print(&format!("{}: {steps} steps, {updates} updates, sha256 {sha256}", model.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        train: TrainArgs,
    }

    fn config(args: &[&str]) -> Result<TrainConfig> {
        let cli = Cli::parse_from([&["train"], args].concat());
        Ok(cli.train.configs(None, &cli.common)?.1)
    }

    #[test]
    fn given_values_replace_those_of_the_preset() {
        let args = ["--preset", "cifar10", "--skip", "adaptive:3", "--save-every", "7"];
        let found = config(&[&args[..], &["--eval-every", "9", "--seed", "4"]].concat()).unwrap();
        let expected = TrainConfig {
            skip: Skip::Adaptive(3.0),
            save_every: 7,
            sample_every: 7,
            eval_every: 9,
            seed: 4,
            ..TrainConfig::preset(Preset::Cifar10)
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn bad_values_are_bad_usage() {
        for args in [["--skip", "often"], ["--schedule", "step"]] {
            assert!(Cli::try_parse_from([&["train"][..], &args].concat()).is_err(), "{args:?}");
        }
        let error = config(&["--steps", "0"]).unwrap_err();
        assert!(error.is::<crate::exit::Usage>(), "{error}");
    }
}
