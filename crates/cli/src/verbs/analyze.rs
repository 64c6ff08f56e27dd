//! `vdvae analyze`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::json;
use vdvae_datasets::{Dataset, Labels, Split};
use vdvae_experiment::{
    Analysis, LayerFindings, LayerReport, LayerScores, Score, TaskKind, TaskName, layer_scores,
};
use vdvae_probes::{Bootstrap, LinearProbe, Metric, Probe, RidgeProbe};
use vdvae_report::{
    Chart, ChartAxis, ChartLine, ChartPage, ChartPoint, ChartSection, ChartSpan, Side,
    signed_with_interval, text_table, with_interval, write_charts,
};

use super::args::{SplitArgs, Which};
use crate::common::Common;
use crate::exit::usage;
use crate::model::{LoadedModel, ModelArgs};
use crate::output::{cannot_write, check_writable, print, progress};
use crate::process::command;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    pictures: SplitArgs,
    /// Pictures to look at, evenly spaced over the split [example: --num 1000]
    #[arg(long, default_value_t = 256, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    num: u32,
    /// How many of them are decoded from the first layers alone, once for every layer; 0 for none
    /// [example: --decoded 8]
    #[arg(long, default_value_t = 32, value_name = "N")]
    decoded: u32,
    /// Labels to read off every layer, too, of a data set that --task names in place of --data
    /// [example: --task celeba-attrs]
    #[arg(long, value_name = "TASK", conflicts_with_all = ["data", "split"])]
    task: Option<TaskName>,
    /// The probe of them [default: logistic, or ridge where targets are real numbers]
    /// [example: --probe ridge]
    #[arg(long, value_name = "logistic|ridge", value_parser = ["logistic", "ridge"],
          requires = "task")]
    probe: Option<String>,
    /// Folder for analysis.json and analysis.html [example: --out analyses/faces32]
    #[arg(long, default_value = "vdvae-analyze-out", value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, common: &Common) -> Result<()> {
    if let Some(task) = args.task.as_ref().filter(|task| task.kind != TaskKind::Targets) {
        return Err(usage(format!("--task: expected one that predicts labels, found {task}")));
    }
    let (html, file) = (args.out.join("analysis.html"), args.out.join("analysis.json"));
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot create", args.out.display()))?;
    check_writable(&html)?;
    check_writable(&file)?;
    let found = look(args, common).inspect_err(|_| {
        // A folder that is still empty goes again.
        let _ = std::fs::remove_dir(&args.out);
    })?;
    let json = serde_json::to_string_pretty(&found.json(common))?;
    vdvae_io::write(&file, &json).with_context(|| cannot_write(&file))?;
    write_charts(&html, &found.page())?;
    match common.json {
        true => print(&json),
        false => print(&found.text()),
    }
}

/// A line over layers: its name, and its value at one.
type OfLayer<'a> = (&'a str, &'a dyn Fn(&LayerFindings) -> Option<f64>);

/// What was found, and of what.
struct Found {
    loaded: LoadedModel,
    data: String,
    which: Which,
    report: LayerReport,
    scores: Vec<LayerScores>,
    /// Its name, and its probe's.
    task: Option<(String, &'static str)>,
}

fn look(args: &Args, common: &Common) -> Result<Found> {
    let loaded = args.model.load(common)?;
    let opened = match &args.task {
        None => args.pictures.open()?,
        Some(task) => args.pictures.open_task(&task.dataset)?,
    };
    let dataset = &*opened.dataset;
    let analysis = Analysis {
        model: &loaded.model,
        data: dataset,
        split: opened.split,
        preparation: args.pictures.preparation(loaded.model.config().image_size),
        on_bad_image: args.pictures.on_bad_image(),
        pictures: args.num as usize,
        decoded: args.decoded as usize,
        batch_size: args.pictures.batch_size().min(args.num as usize),
        seed: common.seed,
    };
    let bar = progress(u64::from(args.num).min(opened.len() as u64), "analysing");
    let report = analysis.run(|pictures| bar.inc(pictures as u64))?;
    bar.finish_and_clear();
    let (mut of_layers, mut task) = (Vec::new(), None);
    if let Some(name) = &args.task {
        let probe = probe(args.probe.as_deref(), dataset);
        of_layers = scores(&analysis, dataset, &*probe, common.seed)?;
        task = Some((name.to_string(), probe.name()));
    }
    let (data, which) = (dataset.name().to_owned(), opened.which);
    Ok(Found { data, which, report, scores: of_layers, task, loaded })
}

/// The probe asked for, or the usual one of the labels.
fn probe(name: Option<&str>, dataset: &dyn Dataset) -> Box<dyn Probe> {
    let numbers = || matches!(dataset.labels(Split::Train), Labels::Real { .. });
    match name {
        Some("ridge") => Box::new(RidgeProbe::default()),
        None if numbers() => Box::new(RidgeProbe::default()),
        _ => Box::new(LinearProbe::default()),
    }
}

fn scores(
    analysis: &Analysis<'_>,
    dataset: &dyn Dataset,
    probe: &dyn Probe,
    seed: u64,
) -> Result<Vec<LayerScores>> {
    let pictures: usize = Split::ALL.iter().map(|&split| dataset.len(split)).sum();
    let bar = progress(pictures as u64, "reading");
    let bootstrap = Bootstrap { seed, ..Bootstrap::default() };
    let scores = layer_scores(analysis, probe, bootstrap, |pictures| bar.inc(pictures as u64));
    bar.finish_and_clear();
    let scores = scores?;
    if scores.iter().all(|layer| layer.posterior.value.is_none()) {
        bail!("{}: no target could be scored", dataset.name());
    }
    Ok(scores)
}

impl Found {
    fn json(&self, common: &Common) -> serde_json::Value {
        let LoadedModel { model, name, sha256 } = &self.loaded;
        json!({
            "model": {"name": name, "sha256": sha256, "config": model.config()},
            "data": {"name": self.data, "split": self.which.to_string()},
            "analysis": self.report,
            "task": self.task.as_ref().map(|(task, _)| task),
            "probe": self.task.as_ref().map(|(_, probe)| probe),
            "scores": self.scores,
            "seed": common.seed, "precision": model.precision(), "command": command("vdvae"),
        })
    }

    /// What a layer's row is called, and its numbers.
    fn rows(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let mut headers =
            vec!["layer", "resolution", "KL (nats)", "95% of KL in", "active", "reliability"];
        if self.report.decoded > 0 {
            headers.extend(["rate", "distortion", "bound"]);
        }
        if !self.scores.is_empty() {
            headers.extend(["posterior", "prior", "born here", "random"]);
        }
        let row = |layer: &LayerFindings| {
            let mut row = vec![
                layer.index.to_string(),
                format!("{0}x{0}", layer.resolution),
                format!("{:.3}", layer.kl_nats),
                format!("{}/{}", layer.dimensions_95, layer.dimensions),
                format!("{:.0}%", 100.0 * layer.active as f64 / layer.dimensions as f64),
                with_interval(layer.reliability, None),
            ];
            if let Some(depth) = layer.depth {
                let bound = depth.rate + depth.distortion;
                row.extend([depth.rate, depth.distortion, bound].map(|x| format!("{x:.3}")));
            }
            if let Some(scores) = self.scores.get(layer.index) {
                let plain = |score: Score| with_interval(score.value, None);
                row.extend([plain(scores.posterior), plain(scores.prior)]);
                row.push(signed_with_interval(scores.born.value, scores.born.ci95));
                row.push(plain(scores.random));
            }
            row
        };
        let headers = headers.into_iter().map(str::to_owned).collect();
        (headers, self.report.layers.iter().map(row).collect())
    }

    fn text(&self) -> String {
        let (headers, rows) = self.rows();
        let table = text_table(&headers, &rows, Side::Right);
        format!("{}\n{}\n\n{table}\n{}", self.overline(), self.title(), self.legend())
    }

    fn overline(&self) -> String {
        let Self { loaded, data, which, report, .. } = self;
        format!("{} on {data} {which}: {} images", loaded.name, report.images)
    }

    fn title(&self) -> String {
        let LayerReport { kl_nats, dimensions, dimensions_95, .. } = self.report;
        let share = 100.0 * dimensions_95 as f64 / dimensions as f64;
        format!(
            "{kl_nats:.1} nats a picture, 95% of them in {dimensions_95} of {dimensions} latent \
             dimensions ({share:.0}%)"
        )
    }

    /// How to read the page.
    fn standfirst(&self) -> String {
        "Layers are counted from the top, 1x1 first. Below: what each holds, whether it can be read \
         again, and what it costs; the table at the end has every number."
            .to_owned()
    }

    fn legend(&self) -> String {
        let mut text = "KL from posterior to prior, seeded samples. 95% of KL in: how many of the \
                        layer's dimensions are among the fewest of the network that hold 95% of it. \
                        active: posterior means vary over pictures by more than 0.01. reliability: \
                        correlation over pictures of two samples of a dimension, their mean.\n"
            .to_owned();
        if self.report.decoded > 0 {
            text += &format!(
                "rate, distortion, bound: bits per dimension of {} pictures if the layers down to \
                 this one are sent and the others drawn from the prior.\n",
                self.report.decoded
            );
        }
        if let Some((task, probe)) = &self.task {
            text += &format!(
                "posterior, prior, random: {} of {task}, by a {probe} probe of the layer's posterior \
                 means, of its prior means, and of posterior means of random weights, each on 4x4 cells. born \
                 here: posterior less prior [95% interval], on the same test pictures.\n",
                self.metric()
            );
        }
        text
    }

    fn metric(&self) -> &'static str {
        match self.scores.first().map(|layer| layer.metric) {
            Some(Metric::Accuracy) => "accuracy",
            Some(Metric::R2) => "R²",
            _ => "mean AUROC",
        }
    }

    fn page(&self) -> ChartPage {
        let (headers, rows) = self.rows();
        let mut charts = vec![
            self.over_layers(
                "kl",
                "Information per layer",
                "nats a picture",
                &[("KL", &|l| Some(l.kl_nats))],
            ),
            self.over_layers(
                "reliability",
                "What can be read again",
                "share",
                &[
                    ("reliability", &|l| l.reliability),
                    ("active", &|l| Some(l.active as f64 / l.dimensions as f64)),
                ],
            ),
        ];
        charts[0].lead =
            "What a picture costs in each layer: KL divergence of posterior from prior, \
                          over layers from the top."
                .to_owned();
        charts[1].lead =
            "Reliability: the correlation over pictures of two samples of a dimension, \
                          mean over the layer's dimensions. Active: the share of dimensions whose \
                          posterior mean varies over pictures by more than 0.01."
                .to_owned();
        charts.extend(self.rate_distortion());
        charts.extend(self.born());
        ChartPage {
            overline: self.overline(),
            title: self.title(),
            lead: self.standfirst(),
            figure: None,
            charts,
            table_lead: self.legend(),
            table: (headers, rows),
            provenance: self.provenance(),
            command: command("vdvae"),
        }
    }

    fn provenance(&self) -> Vec<(String, String)> {
        let LoadedModel { name, sha256, .. } = &self.loaded;
        let mut rows = vec![
            ("Model", name.clone()),
            ("Weights, SHA-256", sha256.clone()),
            ("Data", format!("{}, split {}", self.data, self.which)),
            ("Pictures", self.report.images.to_string()),
            ("Pictures decoded from the first layers", self.report.decoded.to_string()),
        ];
        rows.extend(self.task.iter().map(|(task, _)| ("Task", task.clone())));
        rows.push(("Version", format!("vdvae {}", env!("CARGO_PKG_VERSION"))));
        rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Numbers of every layer, over layers.
    fn over_layers(
        &self,
        id: &'static str,
        title: &'static str,
        unit: &str,
        lines: &[OfLayer<'_>],
    ) -> ChartSection {
        let line = |(name, value): &OfLayer<'_>| {
            let point = |layer: &LayerFindings| {
                Some(ChartPoint { x: layer.index as f64, y: value(layer)?, ci95: None })
            };
            let points = self.report.layers.iter().filter_map(point).collect();
            ChartLine { name: (*name).to_owned(), points }
        };
        let chart = Chart {
            title: title.to_owned(),
            x: axis("layer, from the top"),
            y: axis(unit),
            lines: lines.iter().map(line).collect(),
            spans: self.resolutions(),
        };
        ChartSection { id, title, lead: String::new(), chart }
    }

    /// The stretches of layers of one resolution.
    fn resolutions(&self) -> Vec<ChartSpan> {
        let mut spans: Vec<ChartSpan> = Vec::new();
        for layer in &self.report.layers {
            let (name, at) = (format!("{0}×{0}", layer.resolution), layer.index as f64);
            match spans.last_mut() {
                Some(last) if last.name == name => last.to = at + 0.5,
                _ => spans.push(ChartSpan { from: at - 0.5, to: at + 0.5, name }),
            }
        }
        spans
    }

    fn rate_distortion(&self) -> Option<ChartSection> {
        let depths: Vec<_> = self.report.layers.iter().filter_map(|layer| layer.depth).collect();
        let points = depths.iter().map(|depth| ChartPoint {
            x: depth.rate,
            y: depth.distortion,
            ci95: None,
        });
        let points: Vec<ChartPoint> = points.collect();
        let chart = Chart {
            title: "Distortion over rate".to_owned(),
            x: axis("rate, bits per dimension"),
            y: axis("distortion, bits per dimension"),
            lines: vec![ChartLine { name: "layers sent".to_owned(), points }],
            ..Chart::default()
        };
        let lead = format!(
            "A point a layer: {} pictures if the layers down to it are sent, and the others drawn from \
             the prior. The last is the evidence lower bound of all.",
            self.report.decoded
        );
        let (id, title) = ("rate-distortion", "What each layer buys");
        (!depths.is_empty()).then_some(ChartSection { id, title, lead, chart })
    }

    fn born(&self) -> Option<ChartSection> {
        let line = |name: &str, score: &dyn Fn(&LayerScores) -> Score| {
            let point = |layer: &LayerScores| {
                let Score { value, ci95 } = score(layer);
                Some(ChartPoint { x: layer.index as f64, y: value?, ci95 })
            };
            let points = self.scores.iter().filter_map(point).collect();
            ChartLine { name: name.to_owned(), points }
        };
        let chart = Chart {
            title: "Scores of posterior and prior over layers".to_owned(),
            x: axis("layer, from the top"),
            y: axis(self.metric()),
            lines: vec![
                line("posterior", &|layer| layer.posterior),
                line("prior", &|layer| layer.prior),
                line("random weights", &|layer| layer.random),
            ],
            spans: self.resolutions(),
        };
        let lead = "What a probe reads off each layer alone: off its posterior means, which have seen \
                    the picture, and off its prior means, which follow from the layers above. Where the \
                    first is higher, the layer adds what the task asks for."
            .to_owned();
        let (id, title) = ("born", "Where it is born");
        (!self.scores.is_empty()).then_some(ChartSection { id, title, lead, chart })
    }
}

fn axis(label: &str) -> ChartAxis {
    ChartAxis { label: label.to_owned(), logarithmic: false }
}
