//! A whole run: data in, a folder of results out.

mod session;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use vdvae_datasets::{Dataset, Exif, OnBadImage, Preparation, Split};
use vdvae_model::{Checkpoint, Vdvae};

use crate::checkpoint::State;
use crate::error::io_error;
use crate::event::Event;
use crate::events::EventFile;
use crate::folder::Folder;
use crate::loader::{Loader, Pixels};
use crate::metrics::{Metrics, MetricsFile};
use crate::trainer::{Trainer, check_device};
use crate::{Error, Network, Result, TrainConfig};
use session::Session;

/// What is trained on what, and where the results go.
pub struct Run<'a, N: Network = Vdvae> {
    /// The network.
    pub network: &'a N::Config,
    /// How it is trained.
    pub config: &'a TrainConfig,
    /// The pictures: split train, and split valid where there is one.
    pub dataset: &'a dyn Dataset,
    /// How pictures are cut and resized; the size is always the network's.
    pub preparation: Preparation,
    /// What happens to pictures that cannot be read.
    pub on_bad_image: OnBadImage,
    /// Where the network is computed.
    pub device: &'a Device,
    /// The folder that everything is written into.
    pub out: &'a Path,
    /// Whether the newest complete checkpoint in `out` is continued, if there is one.
    pub resume: bool,
    /// The weights that training and their average start at, with a fresh optimizer; random ones
    /// without. A run that is resumed has to name the same file again.
    pub init: Option<&'a Checkpoint>,
}

/// What came out of a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Steps made in all.
    pub steps: u64,
    /// Updates made in all: steps that were not skipped.
    pub updates: u64,
    /// The step that the run went on from; 0 for a fresh one.
    pub resumed_from: u64,
    /// The line of the last step, unless it had been made before.
    pub last: Option<Metrics>,
    /// The moving average of the weights: the file to share.
    pub model: PathBuf,
    /// SHA-256 of that file, in lower-case hexadecimal.
    pub sha256: String,
}

/// Trains a VDVAE, see [`Run::train`].
///
/// # Errors
/// As [`Run::train`].
pub fn train(run: &Run<'_>, observer: &mut dyn FnMut(&Event)) -> Result<Summary> {
    run.train(observer)
}

impl<N: Network> Run<'_, N> {
    /// Trains a network and writes into [`Run::out`]:
    /// - `config.json`: the network's configuration, and the training's under `train`
    /// - `metrics.jsonl`: a line a step, see [`Metrics`]
    /// - `checkpoints/step-N.safetensors`: everything to resume
    /// - `model.safetensors`: the moving average of the weights, as of the newest checkpoint
    /// - `samples/step-N.png`: pictures drawn from the prior by the moving average
    /// - `events.out.tfevents.*`: the numbers of `metrics.jsonl` for TensorBoard
    ///
    /// A resumed run gives the same numbers as one that was never stopped, with as many threads.
    /// `observer` is told what happens.
    ///
    /// # Errors
    /// Before any work: those for which [`crate::Error::is_usage`] holds, an empty training split, a
    /// folder that cannot be written to, and weights of [`Run::init`] that do not fit the network. Later:
    /// files that cannot be written or pictures that cannot be read.
    pub fn train(&self, observer: &mut dyn FnMut(&Event)) -> Result<Summary> {
        self.config.validate()?;
        N::validate(self.network)?;
        check_device(self.config, self.device)?;
        self.dataset.require(&[Split::Train])?;
        let size = N::image_size(self.network);
        let run = &Run { preparation: Preparation { size, ..self.preparation }, ..*self };
        let folder = Folder::create(run.out, run.resume)?;
        let mut metrics = MetricsFile::open(&folder.metrics())?;
        folder.remove_partial_files()?;
        let identity = run.identity();
        let mut trainer = match run.resumed(&folder, &identity, observer)? {
            Some(trainer) => trainer,
            None => run.start()?,
        };
        let (resumed_from, steps) = (trainer.steps(), run.config.steps);
        if resumed_from > steps {
            let expected = format!("at least {resumed_from}, the steps made already");
            return Err(Error::Config { field: "steps", expected, found: steps.to_string() });
        }
        let path = folder.config();
        vdvae_io::write(&path, run.config_json()).map_err(io_error(&path, "write"))?;
        observer(&Event::Started {
            step: resumed_from,
            steps,
            images: run.dataset.len(Split::Train),
            parameters: N::num_parameters(run.network),
        });
        metrics.cut(resumed_from)?;
        let events = EventFile::create(run.out, resumed_from)?;
        let observer = RefCell::new(observer);
        let mut session = Session::new(run, folder, identity, metrics, events, &observer);
        let last = session.train(&mut trainer)?;
        let sha256 = session.save(&trainer)?;
        Ok(Summary {
            steps: trainer.steps(),
            updates: trainer.updates(),
            resumed_from,
            last,
            model: session.model(),
            sha256,
        })
    }

    /// A run without any step.
    fn start(&self) -> Result<Trainer<N>> {
        let (network, config) = (self.network, self.config);
        let drawn;
        let weights = match self.init {
            Some(init) => {
                N::check(network, init)?;
                &init.weights
            }
            None => {
                drawn = N::initialise(network, config.seed, &mut || self.first_batch())?;
                &drawn
            }
        };
        Trainer::from_weights(network, config, weights, self.device)
    }

    /// The pictures of the first step, on the CPU.
    fn first_batch(&self) -> Result<Tensor> {
        let loader = Loader::new(self.dataset, self.preparation, self.on_bad_image);
        let first = loader.batches(self.config, 0).next().expect("there is a step");
        let Pixels { data, images, .. } = first?;
        let size = self.preparation.size;
        Ok(Tensor::from_vec(data, (images, size, size, 3), &Device::Cpu)?)
    }

    /// The newest run in the folder that can be continued.
    fn resumed(
        &self,
        folder: &Folder,
        identity: &Value,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<Option<Trainer<N>>> {
        for step in if self.resume { folder.checkpoints()? } else { vec![] } {
            match State::read(&folder.checkpoint(step)) {
                Ok(state) => {
                    let trainer =
                        state.restore(self.network, self.config, identity, self.device)?;
                    return Ok(Some(trainer));
                }
                Err(error) => observer(&Event::DamagedCheckpoint { reason: error.to_string() }),
            }
        }
        Ok(None)
    }

    /// What the weights of a run depend on, to be kept with them.
    fn identity(&self) -> Value {
        let mut identity = self.config.identity();
        // Before the rest, which mostly differs too where it does.
        if let Some(init) = self.init {
            identity["init"] = init.sha256.as_str().into();
        }
        identity["data"] = self.data_json();
        identity["network"] = json!(self.network);
        identity
    }

    fn data_json(&self) -> Value {
        let Preparation { exif, crop, resize, .. } = self.preparation;
        let mut data = json!({
            "name": without_folders(self.dataset.name()),
            "fingerprint": self.dataset.fingerprint(),
            "images": self.dataset.len(Split::Train),
            "crop": crop.to_string(),
            "resize": resize.to_string(),
        });
        if exif != Exif::default() {
            data["exif"] = exif.to_string().into();
        }
        data
    }

    /// The network's configuration with a section for the training.
    fn config_json(&self) -> String {
        let mut config = json!(self.network);
        config["train"] = json!(self.config);
        config["train"]["data"] = self.data_json();
        if let Some(Checkpoint { file, sha256, .. }) = self.init {
            let name = Path::new(file).file_name().map(|name| name.to_string_lossy());
            config["train"]["init"] = json!({"name": name, "sha256": sha256});
        }
        let mut text = serde_json::to_string_pretty(&config).expect("plain numbers and strings");
        text.push('\n');
        text
    }
}

/// `folder:/home/ada/photos` as `folder:photos`: weights are shared, and where their pictures lay is
/// nobody's business; which pictures they were is in the fingerprint.
fn without_folders(name: &str) -> String {
    match name.split_once(':') {
        // OWNER/REPO is no path.
        Some((kind, path)) if kind != "hf" => match Path::new(path).file_name() {
            Some(file) => format!("{kind}:{}", file.to_string_lossy()),
            None => kind.to_owned(),
        },
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
