//! What lies within a face: cheeks, freckles, eyes, nose, mouth and the hair around it.

use super::attributes::Attribute as A;
use super::canvas::{Area, Canvas, capsule, disc, ellipse, mixed, scaled};
use super::render::Look;

impl Look<'_> {
    pub(super) fn skin_details(&self, canvas: &mut Canvas) {
        if self.has(A::Smiling) {
            self.smiling_cheeks(canvas);
        }
        // What lies on the skin ends where a turned head does.
        if self.has(A::RosyCheeks) {
            for side in [-1.0, 1.0] {
                let x0 = self.turned(side * 0.3);
                let cheek = |x: f32, y: f32| disc(x - x0, y - 0.17, 0.12).max(self.outline(x, y));
                let red = mixed(self.skin, [0.95, 0.2, 0.25], 0.75);
                let colour = |x: f32, y: f32| scaled(red, self.shade(x, y));
                canvas.paint_soft(Area::new(x0, 0.17, 0.15), 0.09, 0.8, cheek, colour);
            }
        }
        if self.has(A::Freckles) {
            // Positions on one cheek; the other mirrors them.
            const SPOTS: [[f32; 2]; 8] = [
                [0.1, 0.06],
                [0.13, 0.19],
                [0.2, 0.1],
                [0.24, 0.22],
                [0.29, 0.13],
                [0.3, 0.02],
                [0.35, 0.23],
                [0.38, 0.1],
            ];
            let spot_colour = mixed(self.skin, [0.2, 0.07, 0.02], 0.85);
            for [dx, y0] in SPOTS {
                for side in [-1.0, 1.0] {
                    // Not quite symmetric, as skin is not.
                    let x0 = self.turned(side * dx + 0.015);
                    let y0 = y0 + side * 0.012;
                    let spot = |x: f32, y: f32| disc(x - x0, y - y0, 0.036).max(self.outline(x, y));
                    let colour = |x: f32, y: f32| scaled(spot_colour, self.shade(x, y));
                    canvas.paint(Area::new(x0, y0, 0.036), 1.0, spot, colour);
                }
            }
        }
    }

    /// What a smile does to the cheeks: they rise and shine, and fold from the nose to the mouth.
    fn smiling_cheeks(&self, canvas: &mut Canvas) {
        let person = &self.face.person;
        for side in [-1.0, 1.0] {
            let x0 = self.turned(side * 0.3);
            let cheek =
                |x: f32, y: f32| ellipse(x - x0, y - 0.1, 0.13, 0.08).max(self.outline(x, y));
            let bright = |x: f32, y: f32| scaled(self.skin, 1.15 * self.shade(x, y));
            canvas.paint_soft(Area::new(x0, 0.1, 0.13), 0.08, 0.8, cheek, bright);
            let nostril = [self.turned(side * 0.12), person.eye_height + person.nose_length];
            let corner = [self.turned(side * (person.mouth_width + 0.12)), person.mouth_height];
            let fold = |x: f32, y: f32| capsule(x, y, nostril, corner, 0.016);
            let dark = |x: f32, y: f32| scaled(self.skin, 0.7 * self.shade(x, y));
            canvas.paint(Area::new(x0, 0.25, 0.3), 0.9, fold, dark);
        }
    }

    pub(super) fn eyes(&self, canvas: &mut Canvas) {
        let (person, view) = (&self.face.person, &self.face.view);
        let iris = if self.has(A::BlueEyes) { [0.2, 0.55, 0.95] } else { [0.3, 0.16, 0.07] };
        let thick = if self.has(A::ThickEyebrows) { 0.062 } else { 0.018 };
        let brow_colour = scaled(mixed(self.hair, [0.15, 0.1, 0.08], 0.5), 0.8);
        // Who smiles narrows the eyes and lifts the inner end of the brows.
        let (open, inner_end) = if self.has(A::Smiling) { (0.75, -0.01) } else { (0.95, 0.025) };
        let (rx, ry) = (person.eye_size * 1.25, person.eye_size * open);
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
            let inner = [self.turned(side * (person.eye_distance - 0.12)), height + inner_end];
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
                let lips = ellipse(x - x0, y - mouth, person.mouth_width + 0.02, 0.07);
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
                let half = |x: f32, y: f32| capsule(x, y, a, b, 0.056);
                canvas.paint(Area::new(x0 + side * 0.1, y0, 0.16), 1.0, half, colour);
            }
        }
    }

    pub(super) fn mouth(&self, canvas: &mut Canvas) {
        let (person, view) = (&self.face.person, &self.face.view);
        // A smile is wide, turned up and shows teeth; without it the mouth is short and turned down.
        let smiling = self.has(A::Smiling);
        let (stretch, bend) = if smiling { (1.25, 0.14) } else { (0.95, -0.08) };
        let (width, bend) = (person.mouth_width * stretch, bend * view.smile);
        let (x0, y0) = (self.turn * 0.13, person.mouth_height);
        // The line of the lips is a parabola through its corners; y grows downwards.
        let curve = |x: f32| {
            let u = ((x - x0) / width).clamp(-1.2, 1.2);
            y0 + bend * (0.4 - u * u)
        };
        let painted = self.has(A::Lipstick);
        let lips = if painted { [0.85, 0.05, 0.18] } else { scaled(self.skin, 0.62) };
        let lips = if painted { lips } else { mixed(lips, [0.7, 0.2, 0.2], 0.3) };
        let jaw = if self.has(A::MouthOpen) { view.opening } else { 0.0 };
        // Half the height between the lips, and where the upper teeth end below their line.
        let (gap, teeth_end) = if smiling { (jaw.max(0.05), 0.03) } else { (jaw, -0.3 * jaw) };
        let full = if painted { 0.055 } else { 0.036 };
        let area = Area::new(x0, y0, width + 0.1);
        let shape = |height: f32, breadth: f32| {
            move |x: f32, y: f32| {
                // A wide smile ends within a narrow face, however far it is turned.
                let within = self.outline(x, y) + 0.02;
                ellipse(x - x0, y - curve(x) - jaw * 0.4, breadth, height).max(within)
            }
        };
        canvas.paint(area, 1.0, shape(full + gap, width), |_, _| lips);
        if gap > 0.0 {
            let inner = shape(gap, width * 0.88);
            canvas.paint(area, 1.0, inner, |_, _| [0.16, 0.02, 0.04]);
            let teeth = |x: f32, y: f32| inner(x, y).max(y - curve(x) - teeth_end);
            canvas.paint(area, 1.0, teeth, |_, _| [0.97, 0.96, 0.92]);
        } else {
            let line = shape(0.012, width * 0.95);
            canvas.paint(area, 0.8, line, |_, _| scaled(lips, 0.45));
        }
    }
}
