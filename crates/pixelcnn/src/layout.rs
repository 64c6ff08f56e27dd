//! Which convolutions there are, and what belongs together.

use vdvae_ops::WindowShape;

use crate::PixelCnnConfig;
use crate::layer::{Kind, Layer};

/// Scales: the picture's, a half and a quarter of it.
pub(crate) const SCALES: usize = 3;

/// The two streams: one sees the rows above a pixel, the other these and what lies to the left of it.
#[derive(Debug, Clone)]
pub(crate) struct Streams<T> {
    pub(crate) above: T,
    pub(crate) beside: T,
}

/// A gated residual block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) first: Layer,
    /// Of what it gets beside its input, where it gets something.
    pub(crate) skip: Option<Layer>,
    pub(crate) second: Layer,
    /// Its place among all blocks.
    pub(crate) number: u64,
}

/// All convolutions of a network.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// In the order of the parameters.
    pub(crate) layers: Vec<Layer>,
    pub(crate) first_above: Layer,
    /// The row above, and the column to the left.
    pub(crate) first_beside: [Layer; 2],
    /// Of each scale, on the way to the smallest.
    pub(crate) up: Vec<Vec<Streams<Block>>>,
    /// From each scale but the smallest to the next.
    pub(crate) shrink: Vec<Streams<Layer>>,
    /// Of each scale, on the way back.
    pub(crate) down: Vec<Vec<Streams<Block>>>,
    /// To each scale but the smallest from the next.
    pub(crate) enlarge: Vec<Streams<Layer>>,
    pub(crate) out: Layer,
}

/// Numbers layers and blocks.
struct Builder {
    layers: Vec<Layer>,
    blocks: u64,
    filters: usize,
}

impl Builder {
    fn layer(&mut self, name: String, shape: WindowShape, kind: Kind, scale: f64) -> Layer {
        let layer = Layer { name, index: self.layers.len(), shape, kind, scale };
        self.layers.push(layer.clone());
        layer
    }

    /// `skip` is how many channels there are beside the input.
    fn block(&mut self, name: &str, window: WindowShape, skip: usize) -> Block {
        let filters = self.filters;
        let mut layer = |part: &str, shape, scale| {
            self.layer(format!("{name}.{part}"), shape, Kind::Plain, scale)
        };
        let first = layer("first", WindowShape { input: 2 * filters, ..window }, 1.0);
        let one = WindowShape { rows: 1, columns: 1, above: 0, left: 0, ..window };
        let skip = (skip > 0).then(|| layer("skip", WindowShape { input: 2 * skip, ..one }, 1.0));
        let both = WindowShape { input: 2 * filters, output: 2 * filters, ..window };
        let second = layer("second", both, 0.1);
        self.blocks += 1;
        Block { first, skip, second, number: self.blocks - 1 }
    }
}

impl Layout {
    pub(crate) fn new(config: &PixelCnnConfig) -> Self {
        let filters = config.filters;
        let above = WindowShape {
            input: filters,
            output: filters,
            rows: 2,
            columns: 3,
            above: 1,
            left: 1,
            stride: 1,
        };
        let beside = WindowShape { columns: 2, ..above };
        let mut build = Builder { layers: Vec::new(), blocks: 0, filters };
        // Three colours, and ones that tell the picture from what lies outside.
        let pixels = WindowShape { input: 4, ..above };
        let mut first = |name: &str, shape| build.layer(name.to_owned(), shape, Kind::Plain, 1.0);
        let first_above = first("first.above", WindowShape { above: 2, ..pixels });
        let first_beside = [
            first("first.row", WindowShape { rows: 1, ..pixels }),
            first("first.column", WindowShape { columns: 1, ..pixels }),
        ];
        let (mut up, mut shrink) = (Vec::new(), Vec::new());
        for scale in 0..SCALES {
            if scale > 0 {
                let mut layer = |stream: &str, shape| {
                    let shape = WindowShape { stride: 2, ..shape };
                    build.layer(format!("shrink.{scale}.{stream}"), shape, Kind::Plain, 1.0)
                };
                shrink.push(Streams {
                    above: layer("above", above),
                    beside: layer("beside", beside),
                });
            }
            let block = |k: usize| Streams {
                above: build.block(&format!("up.{scale}.{k}.above"), above, 0),
                beside: build.block(&format!("up.{scale}.{k}.beside"), beside, filters),
            };
            up.push((0..config.blocks).map(block).collect());
        }
        let (mut down, mut enlarge) = (Vec::new(), Vec::new());
        for scale in (0..SCALES).rev() {
            if scale + 1 < SCALES {
                let mut layer = |stream: &str, shape, kind| {
                    build.layer(format!("enlarge.{scale}.{stream}"), shape, kind, 1.0)
                };
                enlarge.insert(
                    0,
                    Streams {
                        above: layer("above", above, Kind::EnlargeAbove),
                        beside: layer("beside", beside, Kind::EnlargeBeside),
                    },
                );
            }
            let block = |k: usize| Streams {
                above: build.block(&format!("down.{scale}.{k}.above"), above, filters),
                beside: build.block(&format!("down.{scale}.{k}.beside"), beside, 2 * filters),
            };
            let blocks = config.blocks + usize::from(scale + 1 < SCALES);
            down.insert(0, (0..blocks).map(block).collect());
        }
        let logits = WindowShape { output: 10 * config.num_mixtures, ..above };
        let logits = WindowShape { rows: 1, columns: 1, above: 0, left: 0, ..logits };
        let out = build.layer("out".to_owned(), logits, Kind::Plain, 1.0);
        let layers = build.layers;
        Self { layers, first_above, first_beside, up, shrink, down, enlarge, out }
    }
}
