//! Lines over numbers, as one SVG: what experiments measure beside scores of sources.

use maud::Markup;

use super::draw::{Point, Series, Stretch};
use super::figure::{TITLE, file, titled};
use super::look::Look;
use super::number::{fixed, significant};
use super::plot::{LinePlot, WIDE};
use super::scale::{round_domain, ticks};

/// Room around the drawing.
const MARGIN: f64 = 16.0;
/// Most powers of ten that an axis names.
const MOST_POWERS: i32 = 8;

/// Lines over numbers.
///
/// ```
/// use vdvae_report::{Chart, ChartAxis, ChartLine, ChartPoint};
///
/// let points = [10.0, 100.0, 1000.0].map(|n: f64| ChartPoint { x: n, y: n.powf(-0.5), ci95: None });
/// let chart = Chart {
///     title: "Error over pictures".into(),
///     x: ChartAxis { label: "pictures".into(), logarithmic: true },
///     y: ChartAxis { label: "error".into(), logarithmic: true },
///     lines: vec![ChartLine { name: "mean".into(), points: points.into() }],
///     ..Chart::default()
/// };
/// assert!(chart.svg().is_some_and(|svg| svg.starts_with("<svg")));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// Stands above it.
    pub title: String,
    /// The horizontal axis.
    pub x: ChartAxis,
    /// The vertical axis.
    pub y: ChartAxis,
    /// In the order in which they are drawn; more than six share colours.
    pub lines: Vec<ChartLine>,
    /// Stretches of the horizontal axis, from left to right, which then is as long as they are.
    pub spans: Vec<ChartSpan>,
}

/// A stretch of an axis.
#[derive(Debug, Clone)]
pub struct ChartSpan {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// What it is called.
    pub name: String,
}

/// An axis of numbers.
#[derive(Debug, Clone, Default)]
pub struct ChartAxis {
    /// What they are, with their unit.
    pub label: String,
    /// Whether tenfold numbers lie at equal distances.
    pub logarithmic: bool,
}

/// A line.
#[derive(Debug, Clone)]
pub struct ChartLine {
    /// What it is called.
    pub name: String,
    /// Its points, in any order.
    pub points: Vec<ChartPoint>,
}

/// A point of a line.
#[derive(Debug, Clone, Copy)]
pub struct ChartPoint {
    /// Along the horizontal axis.
    pub x: f64,
    /// Along the vertical axis.
    pub y: f64,
    /// The interval of `y`, where it is known.
    pub ci95: Option<[f64; 2]>,
}

impl Chart {
    /// The chart as a file that needs nothing beside it; its colours follow the reader's theme. The same
    /// input gives the same bytes. Points that have no place, such as 0 on a logarithmic axis, are left
    /// out; `None` where no point has one.
    pub fn svg(&self) -> Option<String> {
        let plot = self.plot()?;
        let size = [WIDE.width + 2.0 * MARGIN, WIDE.height + TITLE + 2.0 * MARGIN];
        let figure = maud::html! {
            g transform=(format!("translate({MARGIN} {MARGIN})")) { (titled(&self.title, plot.draw(WIDE))) }
        };
        Some(file(&self.title, size, &figure))
    }

    /// The chart as part of a page, without its title.
    pub(super) fn figure(&self) -> Option<Markup> {
        Some(self.plot()?.figure())
    }

    fn plot(&self) -> Option<LinePlot> {
        let line = |(place, line): (usize, &ChartLine)| Series {
            look: Look::named(&line.name, place),
            points: self.points(line),
            aside: None,
        };
        let series = self.lines.iter().enumerate().map(line);
        let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
        let points = || series.iter().flat_map(|series| &series.points);
        let span = |values: &mut dyn Iterator<Item = f64>| {
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
                [low.min(value), high.max(value)]
            })
        };
        let x_domain = match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) => [first.from, last.to],
            _ => self.x.domain(span(&mut points().map(|point| point.x))),
        };
        let stretch =
            |span: &ChartSpan| Stretch { from: span.from, to: span.to, label: span.name.clone() };
        let reach =
            points().flat_map(|point| [point.y].into_iter().chain(point.ci.into_iter().flatten()));
        let y_domain = self.y.domain(span(&mut reach.into_iter()));
        let plot = LinePlot {
            about: self.title.clone(),
            x_label: self.x.label.clone(),
            y_label: self.y.label.clone(),
            x_ticks: self.x.ticks(x_domain),
            y_domain,
            y_ticks: Some(self.y.ticks(y_domain)),
            stretches: self.spans.iter().map(stretch).collect(),
            series,
            ..LinePlot::default()
        };
        (!plot.series.is_empty()).then_some(plot)
    }

    /// Those of a line that have a place, rising.
    fn points(&self, line: &ChartLine) -> Vec<Point> {
        let place = |point: &ChartPoint| {
            let ci = point.ci95.map(|ends| ends.map(|end| self.y.place(end)));
            let title =
                format!("{}: {}, {}", line.name, significant(point.x), significant(point.y));
            let ci = ci.and_then(|[low, high]| Some([low?, high?]));
            Some(Point { x: self.x.place(point.x)?, y: self.y.place(point.y)?, ci, title })
        };
        let mut points: Vec<Point> = line.points.iter().filter_map(place).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        points
    }
}

impl ChartAxis {
    /// Where a number lies; `None` where it has no place.
    fn place(&self, value: f64) -> Option<f64> {
        let place = if self.logarithmic { value.log10() } else { value };
        place.is_finite().then_some(place)
    }

    /// Ends of an axis that reaches over such places.
    fn domain(&self, [low, high]: [f64; 2]) -> [f64; 2] {
        match self.logarithmic {
            true if low.floor() < high.ceil() => [low.floor(), high.ceil()],
            true => [low - 1.0, high + 1.0],
            false => round_domain([low, high], 6),
        }
    }

    /// Places inside a domain with their numbers: round ones, or powers of ten.
    fn ticks(&self, [low, high]: [f64; 2]) -> Vec<(f64, String)> {
        if !(low.is_finite() && high.is_finite()) {
            return Vec::new();
        }
        if !self.logarithmic {
            let round = ticks([low, high], 8);
            let label = |&value: &f64| (value, fixed(value, round.decimals));
            return round.values.iter().map(label).collect();
        }
        let powers = low.ceil() as i32..=high.floor() as i32;
        let step = ((high - low) as i32 / MOST_POWERS + 1) as usize;
        powers.step_by(step).map(|power| (power.into(), power_of_ten(power))).collect()
    }
}

/// `1`, `10`, `10⁻³`.
fn power_of_ten(power: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raised = |digit: u8| if digit == b'-' { '⁻' } else { DIGITS[usize::from(digit - b'0')] };
    match power {
        0..=3 => 10_u32.pow(power.unsigned_abs()).to_string(),
        _ => format!("10{}", power.to_string().bytes().map(raised).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(logarithmic: bool) -> ChartAxis {
        ChartAxis { label: "length & width".into(), logarithmic }
    }

    fn chart(logarithmic: bool, points: &[(f64, f64)]) -> Chart {
        let points = points.iter().map(|&(x, y)| ChartPoint { x, y, ci95: Some([y, y + 1.0]) });
        let line = ChartLine { name: "<one>".into(), points: points.collect() };
        let (x, y) = (axis(logarithmic), axis(logarithmic));
        Chart { title: "A & B".into(), x, y, lines: vec![line], spans: Vec::new() }
    }

    #[test]
    fn points_are_drawn_in_order_and_names_are_escaped() {
        let svg = chart(false, &[(3.0, 1.0), (1.0, 2.0)]).svg().unwrap();
        assert!(svg.contains("A &amp; B") && svg.contains("&lt;one&gt;"), "{svg}");
        assert!(svg.contains("length &amp; width"));
        assert_eq!((svg.matches("circle").count(), svg.matches("whisker").count()), (4, 3));
        let first = svg.find("&lt;one&gt;: 1.00, 2.00").unwrap();
        assert!(first < svg.find("&lt;one&gt;: 3.00, 1.00").unwrap());
        assert_eq!(svg, chart(false, &[(1.0, 2.0), (3.0, 1.0)]).svg().unwrap());
    }

    /// Lines that share a place have their marks side by side, others exactly where they belong.
    #[test]
    fn marks_move_only_where_they_would_meet() {
        let svg = |x: f64| {
            let mut chart = chart(false, &[(0.0, 1.0), (4.0, 1.0)]);
            let other = ChartPoint { x, y: 2.0, ci95: None };
            chart.lines.push(ChartLine { name: "two".into(), points: vec![other] });
            chart.svg().unwrap()
        };
        let first = |svg: &str| {
            svg.split("<circle class=\"mark full\" cx=\"").nth(1).unwrap()[..4].to_owned()
        };
        assert_eq!(first(&svg(1.0)), first(&svg(2.0)));
        assert_ne!(first(&svg(1.0)), first(&svg(4.0)));
    }

    #[test]
    fn stretches_of_the_axis_are_named_and_are_all_of_it() {
        let span = |from: f64, name: &str| ChartSpan { from, to: from + 7.0, name: name.into() };
        let plain = chart(false, &[(0.0, 1.0), (13.0, 2.0)]);
        let spans = vec![span(-0.5, "1×1"), span(6.5, "4×4")];
        let svg = Chart { spans, ..plain.clone() }.svg().unwrap();
        assert!(svg.contains(">1×1<") && svg.contains(">4×4<"), "{svg}");
        // The axis ends at 13.5, and not at the next round number.
        assert!(svg.contains(">12<") && !svg.contains(">14<"), "{svg}");
        assert!(plain.svg().unwrap().contains(">14<"));
    }

    #[test]
    fn what_has_no_place_is_left_out() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (10.0, 1e-5), (100.0, -1.0)];
        let svg = chart(true, &points).svg().unwrap();
        assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
        assert!(svg.contains("10⁻⁵"), "{svg}");
        assert_eq!(chart(true, &[(0.0, 0.0)]).svg(), None);
        assert_eq!(Chart { lines: Vec::new(), ..chart(true, &[]) }.svg(), None);
    }

    #[test]
    fn powers_of_ten_are_thinned_out() {
        let labels = |low, high| -> Vec<String> {
            axis(true).ticks([low, high]).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(-2.5, 1.0), ["10⁻²", "10⁻¹", "1", "10"]);
        assert_eq!(labels(-12.0, 4.0), ["10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "1", "1000"]);
        assert_eq!(power_of_ten(14), "10¹⁴");
        assert_eq!(axis(true).domain([-0.5, -0.5]), [-1.0, 0.0]);
        assert_eq!(axis(true).domain([2.0, 2.0]), [1.0, 3.0]);
    }
}
