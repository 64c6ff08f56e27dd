//! The values a model is trained with.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vdvae_model::{Precision, Preset};

use crate::error::{Error, Result, io_error};
use crate::schedule::Schedule;
use crate::skip::Skip;

/// Everything that decides the outcome of a run, beside the network and the data.
///
/// A run is a function of this, the network, the data and the number of threads.
///
/// ```
/// use vdvae_model::Preset;
/// use vdvae_train::{Skip, TrainConfig};
///
/// let config = TrainConfig { steps: 10, ..TrainConfig::preset(Preset::Cifar10) };
/// config.validate()?;
/// assert_eq!((config.batch_size, config.learning_rate), (32, 2e-4));
/// assert_eq!(config.skip, Skip::Fixed(400.0));
/// # Ok::<(), vdvae_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Steps in all, skipped ones included.
    pub steps: u64,
    /// Pictures per step.
    pub batch_size: usize,
    /// Seed of the initial weights, the order of the pictures, flips, shifts, noise and samples.
    pub seed: u64,
    /// Step size after the warm-up.
    pub learning_rate: f64,
    /// How the step size goes on after the warm-up.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises linearly from 0.
    pub warmup_steps: u64,
    /// Steps over which the weight of the KL in the loss rises linearly from 0 to 1; the loss that is
    /// reported has it whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kl_warmup_steps: u64,
    /// AdamW's decay of the first moment.
    pub adam_beta1: f64,
    /// AdamW's decay of the second moment.
    pub adam_beta2: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Gradient norm above which the gradient is scaled down to it.
    pub grad_clip: f64,
    /// Which updates are skipped. Updates that are not finite always are.
    pub skip: Skip,
    /// Decay of the moving average of the weights per update.
    pub ema_rate: f64,
    /// Whether the average forgets the initial weights soon: its decay at update `n` is at most
    /// `(1 + n) / (10 + n)`, see [`TrainConfig::ema_rate_at`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ema_warmup: bool,
    /// Whether every picture is mirrored with probability one half.
    pub flip: bool,
    /// The most pixels a picture is moved by, right or left and up or down, at the network's size:
    /// every distance up to it with the same probability. Its edge fills what it leaves.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shift: usize,
    /// The numbers the network computes in.
    #[serde(default)]
    pub precision: Precision,
    /// Whether the gradient computes what is inside blocks again instead of having it kept: less
    /// memory for more time, and the same numbers.
    #[serde(default)]
    pub recompute: bool,
    /// Whether convolutions are summed directly, see [`vdvae_model::Vdvae::with_exact`]. A choice of
    /// the process that trains, not of the run: its configuration does not hold it.
    #[serde(skip)]
    pub exact: bool,
    /// Steps between checkpoints; 0 writes one at the end only.
    pub save_every: u64,
    /// Newest checkpoints that are kept; older ones are removed.
    pub keep_checkpoints: usize,
    /// Steps between evaluations on the validation split; 0 for none.
    pub eval_every: u64,
    /// Pictures of the validation split that are evaluated, evenly spaced.
    pub eval_images: usize,
    /// Steps between sample grids; 0 for none.
    pub sample_every: u64,
    /// Steps between points in the TensorBoard files; 0 for none.
    pub log_every: u64,
}

impl TrainConfig {
    /// The values of a preset; what the published runs leave open is ours.
    pub fn preset(preset: Preset) -> Self {
        let published = preset.training();
        let (steps, every) = match preset {
            Preset::Tiny => (200, 100),
            Preset::ToyFaces => (2_000, 500),
            _ => (100_000, 1_000),
        };
        Self {
            steps,
            batch_size: published.batch_size(),
            seed: 0,
            learning_rate: published.learning_rate,
            schedule: Schedule::Constant,
            warmup_steps: published.warmup_steps as u64,
            kl_warmup_steps: 0,
            adam_beta1: published.adam_beta1,
            adam_beta2: published.adam_beta2,
            weight_decay: published.weight_decay,
            grad_clip: published.grad_clip,
            skip: Skip::Fixed(published.skip_threshold),
            ema_rate: published.ema_rate,
            ema_warmup: false,
            flip: false,
            shift: 0,
            precision: Precision::F32,
            recompute: false,
            exact: false,
            save_every: every,
            keep_checkpoints: 5,
            eval_every: every,
            eval_images: 256,
            sample_every: every,
            log_every: 10,
        }
    }

    /// The learning rate of a step, counted from 0.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let warmup =
            if step >= self.warmup_steps { 1.0 } else { step as f64 / self.warmup_steps as f64 };
        self.learning_rate * warmup * self.schedule.factor(step, self.steps)
    }

    /// The weight of the KL in the loss of a step, counted from 0.
    pub fn kl_weight_at(&self, step: u64) -> f64 {
        if step >= self.kl_warmup_steps { 1.0 } else { step as f64 / self.kl_warmup_steps as f64 }
    }

    /// Decay of the moving average at an update, counted from 1; skipped steps are none.
    ///
    /// The average starts at the initial weights. At a decay of 0.999 it holds a third of them
    /// after 1,000 updates; with the warm-up, which is that of TensorFlow's
    /// `ExponentialMovingAverage`, less than a millionth.
    pub fn ema_rate_at(&self, update: u64) -> f64 {
        let update = update as f64;
        let most = if self.ema_warmup { (1.0 + update) / (10.0 + update) } else { 1.0 };
        self.ema_rate.min(most)
    }

    /// The values that the weights depend on. The number of steps is one only where the learning
    /// rate follows from it.
    pub(crate) fn identity(&self) -> serde_json::Value {
        let mut values = serde_json::json!(self);
        let map = values.as_object_mut().expect("a struct is an object");
        let every = ["save_every", "eval_every", "sample_every", "log_every"];
        for key in every.into_iter().chain(["keep_checkpoints", "eval_images", "recompute"]) {
            map.shift_remove(key);
        }
        if self.schedule == Schedule::Constant {
            map.shift_remove("steps");
        }
        map.insert("ema_warmup".to_owned(), self.ema_warmup.into());
        map.insert("shift".to_owned(), self.shift.into());
        map.insert("kl_warmup_steps".to_owned(), self.kl_warmup_steps.into());
        values
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`] for the first that makes no sense, with what would be valid.
    pub fn validate(&self) -> Result<()> {
        const MOST: u64 = 1 << 40;
        let whole = |field, value: u64, low, high| {
            check(field, (low..=high).contains(&value), format!("{low} to {high}"), value)
        };
        let rate = |field, value: f64| {
            check(field, (0.0..1.0).contains(&value), "at least 0, below 1", value)
        };
        let positive = |field, value: f64| {
            check(field, value > 0.0 && value.is_finite(), "a finite number above 0", value)
        };
        whole("steps", self.steps, 1, MOST)?;
        whole("batch_size", self.batch_size as u64, 1, 1 << 20)?;
        positive("learning_rate", self.learning_rate)?;
        whole("warmup_steps", self.warmup_steps, 0, MOST)?;
        whole("kl_warmup_steps", self.kl_warmup_steps, 0, MOST)?;
        rate("adam_beta1", self.adam_beta1)?;
        rate("adam_beta2", self.adam_beta2)?;
        let decay = self.weight_decay;
        let valid = decay >= 0.0 && decay.is_finite();
        check("weight_decay", valid, "a finite number, 0 or above", decay)?;
        positive("grad_clip", self.grad_clip)?;
        self.skip.validate()?;
        rate("ema_rate", self.ema_rate)?;
        whole("shift", self.shift as u64, 0, 1 << 20)?;
        whole("save_every", self.save_every, 0, MOST)?;
        whole("keep_checkpoints", self.keep_checkpoints as u64, 1, MOST)?;
        whole("eval_every", self.eval_every, 0, MOST)?;
        whole("eval_images", self.eval_images as u64, 1, MOST)?;
        whole("sample_every", self.sample_every, 0, MOST)?;
        whole("log_every", self.log_every, 0, MOST)
    }

    /// The `train` section of a run's `config.json`; `None` where the file has none.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ConfigJson`]; [`Error::Config`] as [`Self::validate`].
    pub fn read(path: impl AsRef<Path>) -> Result<Option<Self>> {
        const LONGEST: u64 = 1 << 20;
        let path = path.as_ref();
        let mut json = String::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST).read_to_string(&mut json))
            .map_err(io_error(path, "read"))?;
        let refuse = |error: serde_json::Error| Error::ConfigJson {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let mut file: serde_json::Value = serde_json::from_str(&json).map_err(refuse)?;
        let Some(section) = file.get_mut("train") else { return Ok(None) };
        if let Some(section) = section.as_object_mut() {
            // What the run was made from, beside its values.
            section.shift_remove("data");
            section.shift_remove("init");
        }
        let config: Self = serde_json::from_value(section.take()).map_err(refuse)?;
        config.validate().map(|()| Some(config))
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

fn check(
    field: &'static str,
    valid: bool,
    expected: impl Into<String>,
    found: impl ToString,
) -> Result<()> {
    if valid {
        return Ok(());
    }
    Err(Error::Config { field, expected: expected.into(), found: found.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<TrainConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        TrainConfig::read(path)
    }

    #[test]
    fn every_preset_is_valid_and_survives_its_file() {
        for preset in Preset::ALL {
            let config = TrainConfig::preset(preset);
            config.validate().unwrap();
            let file = serde_json::json!({"width": 8, "train": config}).to_string();
            assert_eq!(read(&file).unwrap(), Some(config));
        }
        assert_eq!(read("{}").unwrap(), None);
    }

    #[test]
    fn files_with_other_keys_or_values_are_refused() {
        let mut file = serde_json::json!({"train": TrainConfig::preset(Preset::Tiny)});
        file["train"]["ema_rate"] = 1.0.into();
        let error = read(&file.to_string()).unwrap_err().to_string();
        assert_eq!(error, "train: ema_rate: expected at least 0, below 1, found 1");
        file["train"]["momentum"] = 0.9.into();
        let error = read(&file.to_string()).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains("`momentum`"), "{error}");
        let error = read("{\"train\": ").unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains('\n'), "{error}");
    }
}
