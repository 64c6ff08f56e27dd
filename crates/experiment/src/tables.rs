//! One pass of the network over the pictures fills the tables of every source.

use std::time::{Duration, Instant};

use vdvae_datasets::Split;
use vdvae_features::{
    CachedSources, Extracted, Extraction, FeatureSource, FeatureTable, LayerSelection, Statistic,
};
use vdvae_model::{Vdvae, Weights};
use vdvae_probes::{Leak, Reduction, ReductionKind, Source};

use crate::candidate::Splits;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::experiment::Experiment;
use crate::leaks::{Pictures, leaks};

/// The tables of every source.
pub(crate) type Tables = Vec<(Source, Splits)>;

/// Latents first, then the controls that have features of their own, random weights once for each of
/// their seeds; and what the splits share that should keep them apart.
pub(crate) fn extract(
    experiment: &Experiment<'_>,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<(Tables, Vec<Leak>)> {
    let wants = |source| experiment.controls.contains(&source);
    let seeds = experiment.random_seeds().filter(|_| wants(Source::RandomInit));
    let random =
        seeds.map(|seed| random_network(experiment.model, seed)).collect::<Result<Vec<_>>>()?;
    let (spec, layers) = (experiment.spec, union(experiment));
    let of = |model| FeatureSource::Latents { model, spec, layers };
    let mut sources = vec![(Source::Latents, of(experiment.model))];
    sources.extend(random.iter().map(|random| (Source::RandomInit, of(random))));
    if wants(Source::Pixels) || wants(Source::Pca) {
        sources.push((Source::Pixels, FeatureSource::Pixels));
    }
    if wants(Source::Hog) {
        sources.push((Source::Hog, FeatureSource::Hog));
    }
    let (splits, leaks) = Reader::new(experiment, &sources)?.read_all(observe)?;
    let mut tables = by_source(sources.into_iter().map(|(source, _)| source), splits);
    add_components(experiment, &mut tables)?;
    Ok((tables, leaks))
}

/// The same network with the weights that training would start from.
pub(crate) fn random_network(model: &Vdvae, seed: u64) -> Result<Vdvae> {
    let config = model.config();
    let weights = Weights::initialise(config, seed);
    let random = Vdvae::new(config, &weights, model.device())?;
    Ok(random.with_precision(model.precision())?.with_exact(model.exact()))
}

/// The smallest selection that holds every column a line needs.
fn union(experiment: &Experiment<'_>) -> LayerSelection {
    let Experiment { model, spec, .. } = experiment;
    let selections = experiment.selections.iter().copied();
    let is_whole = |s| matches!(s, LayerSelection::All | LayerSelection::Resolution(_));
    match experiment.selections[..] {
        [only] => only,
        _ if spec.statistic == Statistic::Activation => LayerSelection::All,
        // A few of the states, where only those that end a resolution are asked for.
        _ if spec.statistic == Statistic::State && selections.clone().all(is_whole) => {
            LayerSelection::All
        }
        _ => {
            let layers = selections.filter_map(|s| spec.layers(model.config(), s).ok()).flatten();
            let last = layers.map(|layer| layer.index).max();
            LayerSelection::First(last.map_or(0, |last| last + 1))
        }
    }
}

/// Reads the features of all sources, through the cache where there is one.
struct Reader<'a> {
    experiment: &'a Experiment<'a>,
    sources: Vec<FeatureSource<'a>>,
    cached: Option<CachedSources<'a>>,
    /// Tables that the cache had, of all that were read.
    reused: usize,
    tables: usize,
    time: Duration,
    /// The pictures of the splits that were read.
    pictures: Vec<Pictures>,
}

impl<'a> Reader<'a> {
    fn new(
        experiment: &'a Experiment<'a>,
        sources: &[(Source, FeatureSource<'a>)],
    ) -> Result<Self> {
        let start = Instant::now();
        let name = |source: &Source| match source {
            Source::Latents => experiment.model_name.as_str(),
            control => control.name(),
        };
        let named: Vec<_> = sources.iter().map(|(source, read)| (name(source), *read)).collect();
        let cache = experiment.cache.as_ref();
        let cached = cache.map(|cache| cache.sources(&named)).transpose()?;
        let sources = named.into_iter().map(|(_, source)| source).collect();
        let (time, pictures) = (start.elapsed(), Vec::new());
        Ok(Self { experiment, sources, cached, reused: 0, tables: 0, time, pictures })
    }

    /// The tables of all sources, split by split; without rows where a split is not needed.
    fn read_all(
        mut self,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<(Vec<Vec<FeatureTable>>, Vec<Leak>)> {
        let needed: Vec<Split> = self.experiment.splits().collect();
        let len = |&split: &Split| self.experiment.data_of(split).len(split);
        observe(Event::Reading { pictures: needed.iter().map(len).sum() });
        let mut splits = Vec::new();
        for split in Split::ALL {
            let tables = needed.contains(&split).then(|| self.read(split, observe));
            splits.push(tables.transpose()?);
        }
        let Self { time, reused, tables, pictures, .. } = self;
        observe(Event::AllRead { time, reused, tables });
        let leaks = leaks(&pictures, self.experiment.allow_leaks);
        for leak in leaks.iter().filter(|leak| !leak.allowed) {
            observe(Event::Warning(&leak.to_string()));
        }
        let read = splits.iter().flatten().next().expect("a task needs a split");
        let empty: Vec<FeatureTable> = read.iter().map(|table| table.select_rows(&[])).collect();
        let splits = splits.into_iter().map(|tables| tables.unwrap_or_else(|| empty.clone()));
        Ok((splits.collect(), leaks))
    }

    fn read(
        &mut self,
        split: Split,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<FeatureTable>> {
        let extraction = Extraction {
            dataset: self.experiment.data_of(split),
            split,
            preparation: self.experiment.preparation,
            on_bad_image: self.experiment.on_bad_image,
            batch_size: self.experiment.batch_size,
        };
        let start = Instant::now();
        let progress = |pictures| observe(Event::Read { pictures });
        let Extracted { tables, skipped, contents, .. } = match &self.cached {
            None => extraction.run(&self.sources, progress)?,
            Some(cached) => {
                let (extracted, used) = cached.get_or_extract(&extraction, progress)?;
                used.warnings.iter().for_each(|warning| observe(Event::Warning(warning)));
                self.reused += used.reused;
                extracted
            }
        };
        self.tables += tables.len();
        self.time += start.elapsed();
        for (key, reason) in &skipped {
            observe(Event::Skipped { key, reason });
        }
        if tables[0].rows() == 0 {
            return Err(Error::NoPictures { data: extraction.dataset.name().to_owned(), split });
        }
        let (keys, groups) = (tables[0].keys.clone(), tables[0].groups.clone());
        self.pictures.push(Pictures { split, keys, groups, contents });
        Ok(tables)
    }
}

/// Turns the tables of each split around: those of each source.
fn by_source(sources: impl Iterator<Item = Source>, splits: Vec<Vec<FeatureTable>>) -> Tables {
    let mut splits: Vec<_> = splits.into_iter().map(Vec::into_iter).collect();
    let mut tables = || -> Splits {
        let tables: Vec<_> = splits.iter_mut().filter_map(Iterator::next).collect();
        tables.try_into().expect("one table a split and source")
    };
    sources.map(|source| (source, tables())).collect()
}

/// Adds the principal components of the pixels where they are asked for, and drops the pixels
/// where they are not.
fn add_components(experiment: &Experiment<'_>, tables: &mut Tables) -> Result<()> {
    let wants = |source| experiment.controls.contains(&source);
    if wants(Source::Pca)
        && let Some((_, pixels)) = tables.iter().find(|(source, _)| *source == Source::Pixels)
    {
        let Experiment { pca_columns, seed, .. } = *experiment;
        let components = reduce(pixels, ReductionKind::Pca, pca_columns, seed)?;
        tables.push((Source::Pca, components));
    }
    tables.retain(|(source, _)| *source != Source::Pixels || wants(Source::Pixels));
    Ok(())
}

/// The same rows with fewer columns, by what the training rows teach.
pub(crate) fn reduce(
    splits: &Splits,
    kind: ReductionKind,
    columns: usize,
    seed: u64,
) -> Result<Splits> {
    let reduction = Reduction::fit(&splits[0], kind, columns, seed)?;
    let [train, valid, test] = splits;
    Ok([reduction.apply(train)?, reduction.apply(valid)?, reduction.apply(test)?])
}
