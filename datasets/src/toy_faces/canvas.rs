//! Painting shapes, given by signed distance, with antialiased edges.
//!
//! Only `+ - * / %`, `sqrt`, `floor` and comparisons in `f32` are used: IEEE 754 rounds those alike
//! everywhere, so a picture is the same, byte for byte, on every platform.

use image::RgbImage;

/// Red, green and blue in `[0, 1]`, as stored in files (not linear light).
pub(super) type Rgb = [f32; 3];

/// Scales a colour; values above 1 saturate.
pub(super) fn scaled(colour: Rgb, factor: f32) -> Rgb {
    colour.map(|c| (c * factor).clamp(0.0, 1.0))
}

/// From `a` (0) to `b` (1).
pub(super) fn mixed(a: Rgb, b: Rgb, weight: f32) -> Rgb {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * weight)
}

/// A colour by hue (turns: 0 red, 1/3 green, 2/3 blue), saturation and value.
pub(super) fn hsv(hue: f32, saturation: f32, value: f32) -> Rgb {
    [0.0, 4.0, 2.0].map(|offset| {
        let sixth = (hue * 6.0 + offset) % 6.0;
        let pure = ((sixth - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        value * (1.0 - saturation + saturation * pure)
    })
}

/// Where shapes are drawn: a shifted, scaled and turned coordinate system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) centre: [f32; 2],
    pub(super) scale: f32,
    pub(super) cos: f32,
    pub(super) sin: f32,
}

impl Frame {
    /// The picture itself: x to the right and y down, both in `[-1, 1]`.
    pub(super) const PICTURE: Self = Self { centre: [0.0; 2], scale: 1.0, cos: 1.0, sin: 0.0 };

    /// A frame turned by an angle given as the tangent of its half, which needs no sine.
    pub(super) fn new(centre: [f32; 2], scale: f32, half_tangent: f32) -> Self {
        let t2 = half_tangent * half_tangent;
        let (cos, sin) = ((1.0 - t2) / (1.0 + t2), 2.0 * half_tangent / (1.0 + t2));
        Self { centre, scale, cos, sin }
    }

    fn to_frame(self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = ((x - self.centre[0]) / self.scale, (y - self.centre[1]) / self.scale);
        (self.cos * x + self.sin * y, self.cos * y - self.sin * x)
    }

    fn to_picture(self, x: f32, y: f32) -> (f32, f32) {
        let (u, v) = (self.cos * x - self.sin * y, self.sin * x + self.cos * y);
        (self.centre[0] + self.scale * u, self.centre[1] + self.scale * v)
    }
}

/// The square a shape lies in: only its pixels are visited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) radius: f32,
}

impl Area {
    pub(super) const ALL: Self = Self { x: 0.0, y: 0.0, radius: 4.0 };

    pub(super) fn new(x: f32, y: f32, radius: f32) -> Self {
        Self { x, y, radius }
    }
}

/// A square picture being painted.
pub(super) struct Canvas {
    size: usize,
    pixels: Vec<Rgb>,
    frame: Frame,
    /// Width of an edge, in units of half the picture: a pixel, or more where focus is soft.
    edge: f32,
}

impl Canvas {
    /// Edges are `blur` wide, in units of half the picture, and never below a pixel.
    pub(super) fn new(size: usize, blur: f32) -> Self {
        let edge = blur.max(2.0 / size as f32);
        Self { size, pixels: vec![[0.0; 3]; size * size], frame: Frame::PICTURE, edge }
    }

    /// Sets the frame of what is painted next.
    pub(super) fn enter(&mut self, frame: Frame) {
        self.frame = frame;
    }

    /// Paints where `distance` (negative inside) is below zero, over the canvas's edge.
    pub(super) fn paint(
        &mut self,
        area: Area,
        opacity: f32,
        distance: impl Fn(f32, f32) -> f32,
        colour: impl Fn(f32, f32) -> Rgb,
    ) {
        self.paint_soft(area, 0.0, opacity, distance, colour);
    }

    /// As [`Canvas::paint`], over an edge at least `softness` wide in units of the frame.
    pub(super) fn paint_soft(
        &mut self,
        area: Area,
        softness: f32,
        opacity: f32,
        distance: impl Fn(f32, f32) -> f32,
        colour: impl Fn(f32, f32) -> Rgb,
    ) {
        let pixel = 2.0 / self.size as f32;
        let edge = (self.edge / self.frame.scale).max(softness);
        let (x, y) = self.frame.to_picture(area.x, area.y);
        // The corners of a turned square reach further than its sides: by 1.5 at most.
        let reach = (area.radius + edge) * self.frame.scale * 1.5;
        let (columns, rows) = (self.visible(x, reach), self.visible(y, reach));
        for row in rows {
            for column in columns.clone() {
                let x = (column as f32 + 0.5) * pixel - 1.0;
                let y = (row as f32 + 0.5) * pixel - 1.0;
                let (x, y) = self.frame.to_frame(x, y);
                let coverage = (0.5 - distance(x, y) / edge).clamp(0.0, 1.0) * opacity;
                if coverage > 0.0 {
                    let old = &mut self.pixels[row * self.size + column];
                    *old = mixed(*old, colour(x, y), coverage);
                }
            }
        }
    }

    /// Pixels of one axis within `reach` of `centre`.
    fn visible(&self, centre: f32, reach: f32) -> std::ops::Range<usize> {
        let size = self.size as f32;
        let pixel = |position: f32| ((position + 1.0) * 0.5 * size).clamp(0.0, size) as usize;
        pixel(centre - reach)..(pixel(centre + reach) + 1).min(self.size)
    }

    /// All pixels, row by row.
    pub(super) fn pixels_mut(&mut self) -> &mut [Rgb] {
        &mut self.pixels
    }

    /// Rounds to 8 bits.
    pub(super) fn finish(self) -> RgbImage {
        let bytes = self.pixels.iter().flatten();
        let bytes = bytes.map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
        let side = self.size as u32;
        RgbImage::from_raw(side, side, bytes).expect("the canvas has 3 values a pixel")
    }
}

/// Distance to an ellipse around the origin: first order, exact on its edge.
pub(super) fn ellipse(x: f32, y: f32, rx: f32, ry: f32) -> f32 {
    let (u, v) = (x / rx, y / ry);
    let (du, dv) = (u / rx, v / ry);
    let slope = (du * du + dv * dv).sqrt();
    if slope < 1e-6 {
        return -rx.min(ry);
    }
    let level = (u * u + v * v).sqrt();
    level * (level - 1.0) / slope
}

/// Distance to a disc around the origin.
pub(super) fn disc(x: f32, y: f32, radius: f32) -> f32 {
    (x * x + y * y).sqrt() - radius
}

/// Distance to a segment from `a` to `b` with rounded ends.
pub(super) fn capsule(x: f32, y: f32, a: [f32; 2], b: [f32; 2], radius: f32) -> f32 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let along = ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy);
    let along = along.clamp(0.0, 1.0);
    disc(x - a[0] - along * dx, y - a[1] - along * dy, radius)
}

/// Distance to a box around the origin with rounded corners.
pub(super) fn rounded_box(x: f32, y: f32, half: [f32; 2], corner: f32) -> f32 {
    let (u, v) = (x.abs() - half[0] + corner, y.abs() - half[1] + corner);
    disc(u.max(0.0), v.max(0.0), corner) + u.max(v).min(0.0)
}

/// Distance to parallel lines of a period and width across the direction of `position`.
pub(super) fn stripes(position: f32, period: f32, half_width: f32) -> f32 {
    let phase = position / period;
    (phase - (phase + 0.5).floor()).abs() * period - half_width
}
