//! How a face is painted, back to front: background, what stands there, hair, shoulders, head,
//! features, hat; then the picture is taken.

use std::f32::consts::FRAC_1_SQRT_2;

use image::RgbImage;

use super::attributes::Attribute as A;
use super::canvas::{
    Area, Canvas, Frame, Rgb, disc, ellipse, hsv, mixed, rounded_box, scaled, stripes,
};
use super::person::Face;

/// Draws a face at `size`×`size` pixels.
pub(super) fn render(face: &Face, size: usize) -> RgbImage {
    let camera = &face.view.camera;
    let mut canvas = Canvas::new(size, camera.blur);
    let look = Look::new(face);
    look.background(&mut canvas);
    face.view.clutter.iter().flatten().for_each(|thing| thing.paint(&mut canvas));
    canvas.enter(look.head);
    look.hair_behind(&mut canvas);
    canvas.enter(Frame::PICTURE);
    look.shoulders(&mut canvas);
    canvas.enter(look.head);
    look.skull(&mut canvas);
    look.skin_details(&mut canvas);
    look.eyes(&mut canvas);
    look.nose(&mut canvas);
    look.beard(&mut canvas);
    look.mouth(&mut canvas);
    look.hair_in_front(&mut canvas);
    look.accessories(&mut canvas);
    camera.expose(canvas.pixels_mut());
    canvas.finish()
}

/// A face with what several parts of the drawing need worked out.
pub(super) struct Look<'a> {
    pub(super) face: &'a Face,
    head: Frame,
    /// Half width and half height of the head.
    pub(super) rx: f32,
    pub(super) ry: f32,
    pub(super) skin: Rgb,
    pub(super) hair: Rgb,
    /// -1 (turned to the left) to 1.
    pub(super) turn: f32,
    /// Direction the light comes from; unit length.
    light: [f32; 3],
}

impl<'a> Look<'a> {
    fn new(face: &'a Face) -> Self {
        let (person, view) = (&face.person, &face.view);
        let side = |attribute| if face.traits.has(attribute) { -1.0 } else { 1.0 };
        let round = face.traits.has(A::RoundFace);
        let light = [side(A::LightFromLeft) * view.light, -view.light_height, 0.7_f32];
        let length = light.iter().map(|c| c * c).sum::<f32>().sqrt();
        Self {
            face,
            head: Frame::new(view.shift, view.scale, view.roll),
            rx: if round { 0.61 } else { 0.48 } + person.width,
            ry: if round { 0.61 } else { 0.68 } + person.height,
            skin: skin(face),
            hair: hair(face),
            turn: side(A::TurnedLeft) * view.turn,
            light: light.map(|c| c / length),
        }
    }

    pub(super) fn has(&self, attribute: A) -> bool {
        self.face.traits.has(attribute)
    }

    /// Brightness of a rounded surface at a point of the head, about 0.6 to 1.15.
    pub(super) fn shade(&self, x: f32, y: f32) -> f32 {
        let (u, v) = (x / (self.rx * 1.15), y / (self.ry * 1.15));
        let (u, v) = (u.clamp(-1.0, 1.0), v.clamp(-1.0, 1.0));
        let depth = (1.0 - u * u - v * v).max(0.0).sqrt();
        let [lx, ly, lz] = self.light;
        0.62 + 0.5 * (u * lx + v * ly + depth * lz).max(-0.2)
    }

    /// Distance to the head: an ellipse that narrows to the jaw.
    pub(super) fn outline(&self, x: f32, y: f32) -> f32 {
        let narrow = 1.0 - self.face.person.jaw * y.max(0.0) * y.max(0.0) / (self.ry * self.ry);
        ellipse(x / narrow, y, self.rx, self.ry)
    }

    /// Where a feature at `x` on the face appears once the head is turned.
    pub(super) fn turned(&self, x: f32) -> f32 {
        x * 0.96 + self.turn * 0.12
    }

    fn background(&self, canvas: &mut Canvas) {
        let view = &self.face.view;
        let hue = view.background_hue;
        // Warm: from magenta-red through yellow. Cool: from green to violet.
        let hue = if self.has(A::WarmBackground) { hue * 0.14 } else { 0.36 + hue * 0.38 };
        let value = if self.has(A::BrightBackground) { 0.78 } else { 0.22 };
        let value = value + 0.18 * view.background_value;
        let saturation = 0.4 + 0.3 * view.background_value;
        let colour = hsv(hue, saturation, value);
        let [lx, _, _] = self.light;
        canvas.paint(
            Area::ALL,
            1.0,
            |_, _| -1.0,
            |x, y| scaled(colour, 1.0 + view.background_slope * y - 0.12 * x * lx),
        );
        if self.has(A::StripedBackground) {
            let line = mixed(colour, [1.0; 3], 0.6);
            let phase = view.stripe_phase * 0.33;
            let distance = |x: f32, y: f32| stripes((x + y) * FRAC_1_SQRT_2 + phase, 0.33, 0.04);
            canvas.paint(Area::ALL, 1.0, distance, |_, _| line);
        }
    }

    fn hair_behind(&self, canvas: &mut Canvas) {
        let volume = self.face.person.hair_volume;
        let (rx, ry) = (self.rx + volume, self.ry + volume);
        let long = self.has(A::LongHair);
        let distance = |x: f32, y: f32| {
            let cap = ellipse(x, y + 0.04, rx, ry).max(y - 0.05);
            let fall = rounded_box(x, y - 0.38, [rx + 0.03, 0.52], 0.14);
            if long { cap.min(fall) } else { cap }
        };
        // Strands: slightly darker lines along the hair.
        let colour = |x: f32, y: f32| {
            let strand = if stripes(x, 0.17, 0.03) < 0.0 { 0.88 } else { 1.0 };
            scaled(self.hair, strand * (0.72 + 0.3 * self.shade(x, y * 0.5)))
        };
        canvas.paint(Area::new(0.0, 0.0, 1.2), 1.0, distance, colour);
    }

    fn shoulders(&self, canvas: &mut Canvas) {
        let view = &self.face.view;
        let [x0, y0] = view.shift;
        let shirt = hsv(view.shirt_hue, 0.65, view.shirt_value);
        let neck = |x: f32, y: f32| rounded_box(x - x0, y - 0.7 - y0, [0.21, 0.3], 0.08);
        let shadow = scaled(self.skin, 0.72);
        canvas.paint(Area::new(x0, 0.7 + y0, 0.4), 1.0, neck, |_, _| shadow);
        let [lx, _, _] = self.light;
        let body = |x: f32, y: f32| {
            let collar = 0.16 - disc(x - x0, (y - 0.62 - y0) * 0.8, 0.0);
            ellipse(x - x0 * 0.5, y - 1.2 - y0, 0.98, 0.56).max(collar)
        };
        let area = Area::new(0.0, 1.0, 1.0);
        canvas.paint(area, 1.0, body, |x, _| scaled(shirt, 0.95 + 0.25 * x * lx));
        if self.has(A::StripedShirt) {
            let line = if view.shirt_value > 0.65 { [0.08, 0.08, 0.14] } else { [0.97; 3] };
            let phase = view.stripe_phase * 0.2;
            let lines = |x: f32, y: f32| body(x, y).max(stripes(y + phase, 0.2, 0.05));
            canvas.paint(area, 0.9, lines, |_, _| line);
        }
    }

    fn skull(&self, canvas: &mut Canvas) {
        for side in [-1.0, 1.0] {
            let x0 = side * (self.rx - 0.01) - self.turn * 0.03;
            let ear = |x: f32, y: f32| ellipse(x - x0, y - 0.03, 0.075, 0.13);
            let colour = |x: f32, y: f32| scaled(self.skin, self.shade(x, y) * 0.88);
            canvas.paint(Area::new(x0, 0.03, 0.13), 1.0, ear, colour);
        }
        let area = Area::new(0.0, 0.0, self.rx.max(self.ry));
        canvas.paint(
            area,
            1.0,
            |x, y| self.outline(x, y),
            |x, y| scaled(self.skin, self.shade(x, y)),
        );
    }

    fn hair_in_front(&self, canvas: &mut Canvas) {
        let volume = self.face.person.hair_volume;
        let (rx, ry) = (self.rx + volume, self.ry + volume);
        let bangs = self.has(A::Bangs);
        let x1 = self.turn * 0.05;
        let distance = |x: f32, y: f32| {
            let u = (x - x1) / self.rx;
            // Without bangs the hairline arches over the forehead, with them it is straight.
            let line = if bangs { -0.26 + 0.1 * u * u } else { -0.5 + 0.4 * u * u };
            ellipse(x, y + 0.04, rx, ry).max(y - line * self.ry / 0.65)
        };
        let colour = |x: f32, y: f32| {
            let strand = if stripes(x + 0.1 * y, 0.15, 0.025) < 0.0 { 0.85 } else { 1.0 };
            scaled(self.hair, strand * (0.4 + 0.62 * self.shade(x, y)))
        };
        canvas.paint(Area::new(0.0, -0.35, 0.75), 1.0, distance, colour);
    }
}

fn skin(face: &Face) -> Rgb {
    let tone = face.person.skin;
    if face.traits.has(A::DarkSkin) {
        mixed([0.64, 0.43, 0.29], [0.4, 0.25, 0.17], tone)
    } else {
        mixed([1.0, 0.88, 0.78], [0.9, 0.69, 0.52], tone)
    }
}

fn hair(face: &Face) -> Rgb {
    let tone = face.person.hair;
    if face.traits.has(A::BlondHair) {
        mixed([0.98, 0.86, 0.5], [0.85, 0.66, 0.28], tone)
    } else if face.traits.has(A::BlackHair) {
        mixed([0.07, 0.06, 0.08], [0.15, 0.12, 0.13], tone)
    } else {
        mixed([0.42, 0.25, 0.14], [0.68, 0.26, 0.1], tone)
    }
}
