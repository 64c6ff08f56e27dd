//! Results sorted into what one figure shows: the same probe, metric and kind of columns.

use vdvae_features::LayerSelection;
use vdvae_probes::{Metric, ProbeResult, Source};

use super::input::ReportPage;
use super::number::{count, finite, finite_interval};

/// Layers as in a sentence, `16×16`, `layer 17`; nothing for pixels and their components.
pub(super) fn layer_words(layers: Option<LayerSelection>) -> String {
    match layers {
        None => String::new(),
        Some(LayerSelection::Resolution(r)) => format!("{r}×{r}"),
        Some(LayerSelection::All) => "all layers".to_owned(),
        Some(LayerSelection::Layer(index)) => format!("layer {index}"),
        Some(LayerSelection::First(layers)) => format!("the first {layers} layers"),
    }
}

/// One result, with what the figures ask of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) result: &'a ProbeResult,
    pub(super) source: Source,
    /// The layers it was read from; none for pixels and their components.
    pub(super) layers: Option<LayerSelection>,
    /// Score, where it is defined.
    pub(super) value: Option<f64>,
    /// Its interval, where it is defined.
    pub(super) ci: Option<[f64; 2]>,
}

impl Row<'_> {
    /// Whether the whole training split was used.
    pub(super) fn is_full(&self) -> bool {
        self.result.train_fraction >= 1.0
    }
}

/// Results that one figure may compare.
pub(super) struct Panel<'a> {
    pub(super) probe: &'a str,
    pub(super) metric: Metric,
    /// Which labels the results are about, where there are several kinds.
    pub(super) labels: Option<&'a str>,
    /// Whether all features were brought to one number of columns.
    pub(super) matched: bool,
    /// Results fitted to the whole training split.
    pub(super) rows: Vec<Row<'a>>,
    /// Results fitted to a part of it.
    pub(super) partial: Vec<Row<'a>>,
}

impl Panel<'_> {
    /// The first full result of a source on some layers.
    pub(super) fn find(&self, source: Source, layers: Option<LayerSelection>) -> Option<&Row<'_>> {
        self.rows.iter().find(|row| row.source == source && row.layers == layers)
    }

    /// Score of guessing, where it is known.
    pub(super) fn chance(&self) -> Option<f64> {
        self.rows.iter().chain(&self.partial).next()?.result.chance()
    }

    /// What sets this panel apart, as a heading: `Probe: logistic, columns as pooled`.
    pub(super) fn heading(&self) -> String {
        format!("Probe: {}, {}{}", self.probe, self.columns(), self.of_labels())
    }

    /// What sets this panel apart, inside a sentence: `logistic probe, columns as pooled`.
    pub(super) fn title(&self) -> String {
        format!("{} probe, {}{}", self.probe, self.columns(), self.of_labels())
    }

    fn of_labels(&self) -> String {
        self.labels.map_or_else(String::new, |labels| format!(", targets {labels}"))
    }

    fn columns(&self) -> String {
        let columns = self.rows.iter().filter_map(|row| row.result.matched_columns).max();
        match columns.filter(|_| self.matched) {
            Some(columns) => format!("matched to {} columns", count(columns)),
            None => "columns as pooled".to_owned(),
        }
    }

    /// The latents that score best among selections of the finest kind there is (resolutions, else
    /// layers, else first layers, else any), and how many of that kind compete.
    pub(super) fn best(&self) -> Option<(Row<'_>, usize)> {
        let kinds: [fn(&Row) -> bool; 4] = [
            |row| matches!(row.layers, Some(LayerSelection::Resolution(_))),
            |row| matches!(row.layers, Some(LayerSelection::Layer(_))),
            |row| matches!(row.layers, Some(LayerSelection::First(_))),
            |_| true,
        ];
        kinds.iter().find_map(|kind| {
            let latents = self.rows.iter().filter(|row| row.source == Source::Latents);
            let competing: Vec<(&Row, f64)> =
                latents.filter(|row| kind(row)).filter_map(|row| Some((row, row.value?))).collect();
            // The first of equals, which is the nearest to the top.
            let best = competing.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
            Some((*best.0, competing.len()))
        })
    }
}

/// The input, and its results by panel in order of appearance.
pub(super) struct View<'a> {
    pub(super) page: &'a ReportPage<'a>,
    pub(super) panels: Vec<Panel<'a>>,
}

impl<'a> View<'a> {
    pub(super) fn new(page: &'a ReportPage<'a>) -> Self {
        let mut panels: Vec<Panel> = Vec::new();
        for row in rows(page) {
            let (probe, metric) = (&row.result.probe[..], row.result.metric);
            let matched = row.result.matched_columns.is_some();
            let labels = row.result.labels.as_deref();
            let settings = (probe, metric, labels, matched);
            let same = |p: &Panel| (p.probe, p.metric, p.labels, p.matched) == settings;
            let at = panels.iter().position(same).unwrap_or_else(|| {
                let (rows, partial) = (Vec::new(), Vec::new());
                panels.push(Panel { probe, metric, labels, matched, rows, partial });
                panels.len() - 1
            });
            if row.is_full() { panels[at].rows.push(row) } else { panels[at].partial.push(row) }
        }
        Self { page, panels }
    }

    /// What the intervals are, for a sentence.
    pub(super) fn intervals(&self) -> String {
        let results = &self.page.report.results;
        let first = results.first();
        let of = match first.map(|first| (&first.few_shot, &first.verification)) {
            Some((Some(info), _)) => {
                let episodes = count(info.episodes);
                format!("95% intervals over {episodes} episodes, which are the same for all")
            }
            Some((_, Some(info))) => {
                format!("95% intervals over {} folds", info.fold_accuracies.len())
            }
            _ => "95% bootstrap intervals on the test split".to_owned(),
        };
        match results.iter().any(|one| one.networks.len() > 1) {
            true => of + ", those of random weights over other such networks, too",
            false => of,
        }
    }

    /// The panel that headline, heat map and target table are about: the first whose latents have
    /// a score.
    pub(super) fn primary(&self) -> Option<&Panel<'a>> {
        self.panels.iter().find(|panel| panel.best().is_some())
    }

    /// The best latents of every kind of labels, of one where there is one.
    pub(super) fn best_of_labels(&self) -> Vec<Row<'_>> {
        let mut best: Vec<Row> = Vec::new();
        for (row, _) in self.panels.iter().filter_map(Panel::best) {
            if best.iter().all(|other| other.result.labels != row.result.labels) {
                best.push(row);
            }
        }
        best
    }
}

/// Every result of the report.
pub(super) fn rows<'a>(page: &'a ReportPage<'a>) -> impl Iterator<Item = Row<'a>> {
    page.report.results.iter().map(|result| Row {
        result,
        source: result.source,
        layers: result.layers,
        value: finite(result.value),
        ci: finite_interval(result.ci95),
    })
}

/// What a metric is called in text.
pub(super) fn metric_words(metric: Metric) -> &'static str {
    match metric {
        Metric::Auroc => "mean AUROC",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn intervals_over_networks_are_said() {
        let mut report = fixture::report();
        let said =
            |report: &vdvae_probes::ProbeReport| View::new(&ReportPage::new(report)).intervals();
        assert_eq!(said(&report), "95% bootstrap intervals on the test split");
        let network = |seed| vdvae_probes::NetworkScore { seed, value: None };
        report.results[1].networks = vec![network(0), network(1)];
        assert!(said(&report).ends_with("over other such networks, too"));
        let (ways, shots, queries, episodes) = (5, 1, 15, 600);
        let (seed, neighbours, strength) = (None, None, None);
        report.results[0].few_shot = Some(vdvae_probes::EpisodeInfo {
            ways,
            shots,
            queries,
            episodes,
            seed,
            neighbours,
            strength,
        });
        let expected = "95% intervals over 600 episodes, which are the same for all, those of random \
                        weights over other such networks, too";
        assert_eq!(said(&report), expected);
    }

    #[test]
    fn panels_part_what_cannot_be_compared() {
        let mut report = fixture::report();
        let latents = report.results[0].clone();
        report.results.push(ProbeResult { probe: "knn".into(), ..latents.clone() });
        report.results.push(ProbeResult { matched_columns: Some(64), ..latents.clone() });
        report.results.push(ProbeResult { train_fraction: 0.1, ..latents });
        let page = ReportPage::new(&report);
        let view = View::new(&page);
        let titles: Vec<String> = view.panels.iter().map(Panel::title).collect();
        let expected = [
            "logistic probe, columns as pooled",
            "knn probe, columns as pooled",
            "logistic probe, matched to 64 columns",
        ];
        assert_eq!(titles, expected);
        assert_eq!(view.panels[0].rows.len(), 2);
        assert_eq!(view.panels[0].partial.len(), 1);
    }

    #[test]
    fn the_best_place_is_a_resolution_where_there_is_one() {
        let mut report = fixture::report();
        let at = |layers: &str, value| ProbeResult {
            layers: Some(layers.parse().unwrap()),
            value: Some(value),
            ..fixture::report().results[0].clone()
        };
        report.results =
            vec![at("all", 0.9), at("4x4", 0.7), at("8x8", 0.8), at("16x16", 0.8), at("3", 0.85)];
        report.results.push(at("32x32", f64::NAN));
        let page = ReportPage::new(&report);
        let view = View::new(&page);
        let (best, competing) = view.primary().unwrap().best().unwrap();
        assert_eq!((best.layers, competing), (Some(LayerSelection::Resolution(8)), 3));
    }
}
