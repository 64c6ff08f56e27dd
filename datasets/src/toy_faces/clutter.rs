//! What stands around behind a person: discs and boxes of any colour.

use super::canvas::{Area, Canvas, Rgb, ellipse, hsv, rounded_box};
use super::uniform::Uniform;

/// One thing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thing {
    round: bool,
    centre: [f32; 2],
    half: [f32; 2],
    colour: Rgb,
}

impl Thing {
    /// A thing, or in some pictures none.
    pub(super) fn draw(uniform: &mut Uniform) -> Option<Self> {
        let there = uniform.unit() < 0.4;
        let thing = Self {
            round: uniform.unit() < 0.5,
            centre: [uniform.within(-1.0, 1.0), uniform.within(-1.0, 0.6)],
            half: [uniform.within(0.1, 0.4), uniform.within(0.1, 0.4)],
            colour: hsv(uniform.unit(), 0.6, uniform.within(0.1, 0.95)),
        };
        there.then_some(thing)
    }

    pub(super) fn paint(&self, canvas: &mut Canvas) {
        let ([x0, y0], [a, b]) = (self.centre, self.half);
        let shape = |x: f32, y: f32| match self.round {
            true => ellipse(x - x0, y - y0, a, b),
            false => rounded_box(x - x0, y - y0, [a, b], 0.03),
        };
        canvas.paint(Area::new(x0, y0, a.max(b)), 1.0, shape, |_, _| self.colour);
    }
}
