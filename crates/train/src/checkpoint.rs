//! Everything that a run needs to go on, in one safetensors file.
//!
//! Four sets of tensors under published names with a prefix: `model.`, `ema.`, `first_moment.`,
//! `second_moment.`. Metadata beside that of the model crate: `train`, the values the run depends
//! on; `progress`, its counters; `step`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vdvae_model::{Checkpoint, Weights};
use vdvae_ops::OptimizerMemory;

use crate::trainer::Trainer;
use crate::{Error, Network, Result, TrainConfig};

const MODEL: &str = "model.";
const EMA: &str = "ema.";
const FIRST_MOMENT: &str = "first_moment.";
const SECOND_MOMENT: &str = "second_moment.";

/// What a run knows beside the numbers of its tensors, as the file has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    /// Steps made, skipped ones included.
    step: u64,
    /// Updates made.
    updates: u64,
    /// Gradient norms seen last.
    norms: Vec<f64>,
}

/// Writes the whole state. The file appears whole or not at all.
pub(crate) fn write_state<N: Network>(
    trainer: &Trainer<N>,
    identity: &Value,
    path: &Path,
) -> Result<()> {
    let mut all = Weights::new();
    let mut add = |prefix: &str, weights: Weights| {
        for (name, array) in weights {
            all.insert(format!("{prefix}{name}"), array);
        }
    };
    let model = trainer.model();
    add(MODEL, model.named(model.tensors().to_vec())?);
    let OptimizerMemory { ema, first, second, steps, updates, norms } = trainer.memory()?;
    let progress = Progress { step: steps, updates, norms };
    for (prefix, vectors) in [(EMA, ema), (FIRST_MOMENT, first), (SECOND_MOMENT, second)] {
        let tensor = |vector: Vec<f32>| Tensor::new(vector, &Device::Cpu);
        let tensors = vectors.into_iter().map(tensor).collect::<Result<_, _>>()?;
        add(prefix, model.named(tensors)?);
    }
    let progress = serde_json::to_string(&progress).expect("plain numbers");
    let mut metadata = metadata(trainer, identity);
    metadata.insert("progress".to_owned(), progress);
    N::write(model.config(), &all, &metadata, path)?;
    Ok(())
}

/// Writes the moving average as a model of its own, and returns the SHA-256 of the file.
pub(crate) fn write_model<N: Network>(
    trainer: &Trainer<N>,
    identity: &Value,
    path: &Path,
) -> Result<String> {
    let average = trainer.ema_model()?;
    let weights = average.named(average.tensors().to_vec())?;
    N::write(average.config(), &weights, &metadata(trainer, identity), path)
}

fn metadata<N: Network>(trainer: &Trainer<N>, identity: &Value) -> BTreeMap<String, String> {
    [("step", trainer.steps().to_string()), ("train", identity.to_string())]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

/// A checkpoint that was read whole, so that its hashes are known to be right.
pub(crate) struct State {
    file: String,
    weights: Weights,
    progress: Progress,
    identity: Value,
}

impl State {
    /// Reads a checkpoint.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::read_whole(path)?;
        let file = checkpoint.file.clone();
        let json = |key: &str| {
            let text = checkpoint.metadata.get(key).map_or("", String::as_str);
            serde_json::from_str::<Value>(text).map_err(|error| Error::Checkpoint {
                file: file.clone(),
                position: format!("metadata {key}"),
                expected: "JSON written by a training run".into(),
                found: if text.is_empty() { "nothing".into() } else { error.to_string() },
            })
        };
        let mut identity = json("train")?;
        // What a run was before it could be anything else.
        if let Some(identity) = identity.as_object_mut() {
            identity.entry("precision").or_insert_with(|| "f32".into());
            identity.entry("ema_warmup").or_insert_with(|| false.into());
            identity.entry("shift").or_insert_with(|| 0.into());
            identity.entry("kl_warmup_steps").or_insert_with(|| 0.into());
        }
        let progress =
            serde_json::from_value(json("progress")?).map_err(|error| Error::Checkpoint {
                file: file.clone(),
                position: "metadata progress".into(),
                expected: "the counters of a training run".into(),
                found: error.to_string(),
            })?;
        Ok(Self { file, weights: checkpoint.weights, progress, identity })
    }

    /// The run as it was.
    ///
    /// # Errors
    /// [`Error::OtherRun`] where network, data or a value that decides the outcome differ from
    /// those in the checkpoint.
    pub(crate) fn restore<N: Network>(
        mut self,
        network: &N::Config,
        config: &TrainConfig,
        identity: &Value,
        device: &Device,
    ) -> Result<Trainer<N>> {
        self.same_run(identity)?;
        let mut set = |prefix: &str| self.weights.split_prefix(prefix);
        let trainer = Trainer::<N>::from_weights(network, config, &set(MODEL), device)?;
        let mut vectors = |prefix: &str| {
            let tensors = trainer.model().flat(&set(prefix))?;
            let vectors = tensors.iter().map(|tensor| tensor.to_vec1());
            Ok::<_, Error>(vectors.collect::<Result<Vec<_>, _>>()?)
        };
        let Progress { step, updates, norms } = self.progress;
        let memory = OptimizerMemory {
            ema: vectors(EMA)?,
            first: vectors(FIRST_MOMENT)?,
            second: vectors(SECOND_MOMENT)?,
            steps: step,
            updates,
            norms,
        };
        trainer.restore(memory)
    }

    fn same_run(&self, identity: &Value) -> Result<()> {
        let keys = [&self.identity, identity].into_iter().filter_map(Value::as_object);
        match keys.flat_map(|map| map.keys()).find(|key| self.identity[*key] != identity[*key]) {
            None => Ok(()),
            Some(key) => Err(Error::OtherRun {
                file: self.file.clone(),
                field: key.clone(),
                expected: self.identity[key].to_string(),
                found: identity[key].to_string(),
            }),
        }
    }
}
