//! What is worn: hat, earrings and glasses.

use super::attributes::Attribute as A;
use super::canvas::{Area, Canvas, capsule, disc, ellipse, hsv, rounded_box, scaled};
use super::render::Look;

impl Look<'_> {
    pub(super) fn accessories(&self, canvas: &mut Canvas) {
        if self.has(A::Hat) {
            self.hat(canvas);
        }
        if self.has(A::Earrings) {
            for side in [-1.0, 1.0] {
                let x0 = side * (self.rx + 0.035) - self.turn * 0.03;
                let area = Area::new(x0, 0.24, 0.1);
                let gold = [1.0, 0.85, 0.2];
                canvas.paint(area, 1.0, |x, y| disc(x - x0, y - 0.24, 0.066), |_, _| gold);
                let shine = |x: f32, y: f32| disc(x - x0 + 0.02, y - 0.22, 0.022);
                canvas.paint(area, 0.9, shine, |_, _| [1.0, 1.0, 0.9]);
            }
        }
        if self.has(A::Glasses) {
            self.glasses(canvas);
        }
    }

    fn hat(&self, canvas: &mut Canvas) {
        let view = &self.face.view;
        let colour = hsv(view.hat_hue, 0.7, view.hat_value);
        let brim = -self.ry * 0.68;
        let (x0, half) = (self.turn * 0.03, self.rx + 0.05);
        let tint = |x: f32, y: f32| scaled(colour, 0.35 + 0.7 * self.shade(x, y));
        let crown = |x: f32, y: f32| ellipse(x - x0, y - brim, half, 0.44).max(y - brim);
        canvas.paint(Area::new(x0, brim - 0.2, 0.75), 1.0, crown, tint);
        let band = |x: f32, y: f32| crown(x, y).max(brim - 0.14 - y);
        let contrast = hsv(view.hat_hue + 0.45, 0.5, 1.15 - view.hat_value);
        canvas.paint(Area::new(x0, brim, 0.75), 1.0, band, |_, _| contrast);
        let (a, b) = ([x0 - half - 0.16, brim], [x0 + half + 0.16, brim]);
        let edge = |x: f32, y: f32| capsule(x, y, a, b, 0.05);
        canvas.paint(Area::new(x0, brim, half + 0.25), 1.0, edge, |x, y| scaled(tint(x, y), 0.8));
    }

    fn glasses(&self, canvas: &mut Canvas) {
        let person = &self.face.person;
        let frame = [0.07, 0.06, 0.08];
        let y0 = person.eye_height;
        let (half, width) = ([person.eye_distance * 0.78, person.eye_size + 0.06], 0.024);
        for side in [-1.0, 1.0] {
            let x0 = self.turned(side * person.eye_distance);
            let lens = |x: f32, y: f32| rounded_box(x - x0, y - y0, half, 0.09);
            let area = Area::new(x0, y0, half[0] + 0.03);
            canvas.paint(area, 0.18, lens, |_, _| [0.8, 0.9, 1.0]);
            canvas.paint(area, 1.0, |x, y| lens(x, y).abs() - width, |_, _| frame);
            let (a, b) = ([x0 + side * half[0], y0 - 0.03], [side * self.rx, y0 - 0.05]);
            let temple = |x: f32, y: f32| capsule(x, y, a, b, width * 0.8);
            canvas.paint(Area::new(x0, y0, 0.5), 1.0, temple, |_, _| frame);
        }
        let gap = person.eye_distance * 0.25;
        let (a, b) = ([self.turned(-gap), y0 - 0.02], [self.turned(gap), y0 - 0.02]);
        let bridge = |x: f32, y: f32| capsule(x, y, a, b, width);
        canvas.paint(Area::new(self.turned(0.0), y0, 0.12), 1.0, bridge, |_, _| frame);
    }
}
