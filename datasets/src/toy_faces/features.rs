//! What lies within a face: cheeks, freckles, eyes, nose, mouth and the hair around it.

use super::attributes::Attribute as A;
use super::canvas::{Area, Canvas, capsule, disc, ellipse, mixed, scaled};
use super::render::Look;

impl Look<'_> {
    pub(super) fn skin_details(&self, canvas: &mut Canvas) {
        if self.has(A::RosyCheeks) {
            for side in [-1.0, 1.0] {
                let x0 = self.turned(side * 0.3);
                let cheek = |x: f32, y: f32| disc(x - x0, y - 0.17, 0.1);
                let red = mixed(self.skin, [0.95, 0.2, 0.25], 0.75);
                let colour = |x: f32, y: f32| scaled(red, self.shade(x, y));
                canvas.paint_soft(Area::new(x0, 0.17, 0.13), 0.09, 0.75, cheek, colour);
            }
        }
        if self.has(A::Freckles) {
            // Positions on one cheek; the other mirrors them.
            const SPOTS: [[f32; 2]; 6] =
                [[0.13, 0.1], [0.24, 0.07], [0.2, 0.17], [0.3, 0.15], [0.37, 0.09], [0.27, 0.24]];
            let spot_colour = mixed(self.skin, [0.2, 0.07, 0.02], 0.75);
            for [dx, y0] in SPOTS {
                for side in [-1.0, 1.0] {
                    // Not quite symmetric, as skin is not.
                    let x0 = self.turned(side * dx + 0.015);
                    let y0 = y0 + side * 0.012;
                    let spot = |x: f32, y: f32| disc(x - x0, y - y0, 0.03);
                    let colour = |x: f32, y: f32| scaled(spot_colour, self.shade(x, y));
                    canvas.paint(Area::new(x0, y0, 0.03), 1.0, spot, colour);
                }
            }
        }
    }

    pub(super) fn eyes(&self, canvas: &mut Canvas) {
        let (person, view) = (&self.face.person, &self.face.view);
        let iris = if self.has(A::BlueEyes) { [0.2, 0.55, 0.95] } else { [0.3, 0.16, 0.07] };
        let thick = if self.has(A::ThickEyebrows) { 0.055 } else { 0.02 };
        let brow_colour = scaled(mixed(self.hair, [0.15, 0.1, 0.08], 0.5), 0.8);
        let (rx, ry) = (person.eye_size * 1.25, person.eye_size * 0.9);
        let y0 = person.eye_height;
        for side in [-1.0, 1.0] {
            let x0 = self.turned(side * person.eye_distance);
            let white = |x: f32, y: f32| ellipse(x - x0, y - y0, rx, ry);
            let area = Area::new(x0, y0, rx);
            let lash = scaled(self.skin, 0.35);
            canvas.paint(area, 0.8, |x, y| ellipse(x - x0, y - y0 + 0.02, rx, ry), |_, _| lash);
            canvas.paint(area, 1.0, white, |_, _| [0.96, 0.96, 0.95]);
            let [gx, gy] = view.gaze;
            let (ix, iy) = (x0 + gx + self.turn * 0.015, y0 + gy);
            let radius = person.eye_size * 0.72;
            let circle = |x: f32, y: f32| disc(x - ix, y - iy, radius).max(white(x, y));
            canvas.paint(area, 1.0, circle, |_, _| iris);
            let pupil = |x: f32, y: f32| disc(x - ix, y - iy, radius * 0.48);
            canvas.paint(area, 1.0, pupil, |_, _| [0.03; 3]);
            let glint = |x: f32, y: f32| disc(x - ix - 0.02, y - iy + 0.022, 0.012);
            canvas.paint(area, 0.9, glint, |_, _| [1.0; 3]);
            let height = y0 - person.brow_height - view.brow_raise;
            let inner = [self.turned(side * (person.eye_distance - 0.12)), height + 0.02];
            let outer = [self.turned(side * (person.eye_distance + 0.13)), height];
            let brow = |x: f32, y: f32| capsule(x, y, inner, outer, thick);
            canvas.paint(Area::new(x0, height, 0.22), 1.0, brow, |_, _| brow_colour);
        }
    }

    pub(super) fn nose(&self, canvas: &mut Canvas) {
        let person = &self.face.person;
        let (x0, y0) = (self.turn * 0.17, person.eye_height + 0.04);
        let tip = y0 + person.nose_length;
        let dark = scaled(self.skin, 0.7);
        let side = if self.has(A::LightFromLeft) { 1.0 } else { -1.0 };
        // The shadow lies on the side that the light does not reach.
        let bridge = [self.turn * 0.13 + side * 0.02, y0];
        let foot = [x0 + side * person.nose_width, tip];
        let area = Area::new(x0, (y0 + tip) * 0.5, 0.2);
        let shadow = |x: f32, y: f32| capsule(x, y, bridge, foot, 0.018);
        canvas.paint(area, 0.75, shadow, |_, _| dark);
        let base = |x: f32, y: f32| ellipse(x - x0, y - tip, person.nose_width, 0.028);
        canvas.paint(area, 0.85, base, |_, _| dark);
        let bright = scaled(self.skin, 1.2);
        let light = |x: f32, y: f32| ellipse(x - x0, y - tip + 0.05, person.nose_width * 0.6, 0.04);
        canvas.paint_soft(area, 0.05, 0.7, light, |_, _| bright);
    }

    pub(super) fn beard(&self, canvas: &mut Canvas) {
        let person = &self.face.person;
        let (x0, mouth) = (self.turn * 0.13, person.mouth_height);
        let colour = |x: f32, y: f32| scaled(self.hair, 0.36 + 0.36 * self.shade(x, y));
        if self.has(A::Beard) {
            let clear = |x: f32, y: f32| {
                let lips = ellipse(x - x0, y - mouth, person.mouth_width + 0.05, 0.1);
                let face = ellipse(x - x0 * 0.8, y + 0.02, self.rx * 0.86, mouth - 0.02);
                lips.min(face)
            };
            let distance =
                |x: f32, y: f32| (self.outline(x, y - 0.03)).max(-clear(x, y)).max(0.12 - y);
            canvas.paint(Area::new(0.0, 0.4, 0.62), 0.95, distance, colour);
        }
        if self.has(A::Moustache) {
            let y0 = mouth - 0.105;
            for side in [-1.0, 1.0] {
                let (a, b) = ([x0 + side * 0.04, y0], [x0 + side * 0.17, y0 + 0.035]);
                let half = |x: f32, y: f32| capsule(x, y, a, b, 0.048);
                canvas.paint(Area::new(x0 + side * 0.1, y0, 0.16), 1.0, half, colour);
            }
        }
    }

    pub(super) fn mouth(&self, canvas: &mut Canvas) {
        let (person, view) = (&self.face.person, &self.face.view);
        let (x0, y0, width) = (self.turn * 0.13, person.mouth_height, person.mouth_width);
        let bend = if self.has(A::Smiling) { 0.1 * view.smile } else { -0.05 * view.smile };
        // The line of the lips is a parabola through its corners; y grows downwards.
        let curve = |x: f32| {
            let u = ((x - x0) / width).clamp(-1.2, 1.2);
            y0 + bend * (0.4 - u * u)
        };
        let painted = self.has(A::Lipstick);
        let lips = if painted { [0.85, 0.05, 0.18] } else { scaled(self.skin, 0.62) };
        let lips = if painted { lips } else { mixed(lips, [0.7, 0.2, 0.2], 0.3) };
        let open = if self.has(A::MouthOpen) { view.opening } else { 0.0 };
        let full = if painted { 0.055 } else { 0.036 };
        let area = Area::new(x0, y0, width + 0.1);
        let shape = |height: f32, breadth: f32| {
            move |x: f32, y: f32| ellipse(x - x0, y - curve(x) - open * 0.4, breadth, height)
        };
        canvas.paint(area, 1.0, shape(full + open, width), |_, _| lips);
        if self.has(A::MouthOpen) {
            let inner = shape(open, width * 0.86);
            canvas.paint(area, 1.0, inner, |_, _| [0.22, 0.03, 0.05]);
            let teeth = |x: f32, y: f32| inner(x, y).max(y - curve(x) - open * 0.25);
            canvas.paint(area, 1.0, teeth, |_, _| [0.97, 0.96, 0.92]);
        } else {
            let line = shape(0.012, width * 0.95);
            canvas.paint(area, 0.8, line, |_, _| scaled(lips, 0.45));
        }
    }
}
