//! Who is in a picture and how: every number a face is drawn from, pure in (seed, person, picture).

use super::attributes::{Attribute, Traits};
use super::camera::Camera;
use super::clutter::Thing;
use super::uniform::Uniform;

/// A person: shape and colours, all in `[0, 1)` or in units of the head's frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    pub(super) skin: f32,
    pub(super) hair: f32,
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) jaw: f32,
    pub(super) eye_distance: f32,
    pub(super) eye_size: f32,
    pub(super) eye_height: f32,
    pub(super) brow_height: f32,
    pub(super) nose_length: f32,
    pub(super) nose_width: f32,
    pub(super) mouth_width: f32,
    pub(super) mouth_height: f32,
    pub(super) hair_volume: f32,
}

impl Person {
    fn draw(uniform: &mut Uniform) -> Self {
        Self {
            skin: uniform.unit(),
            hair: uniform.unit(),
            width: uniform.within(-0.03, 0.03),
            height: uniform.within(-0.03, 0.03),
            jaw: uniform.within(0.0, 0.18),
            eye_distance: uniform.within(0.2, 0.26),
            eye_size: uniform.within(0.085, 0.115),
            eye_height: uniform.within(-0.1, -0.04),
            brow_height: uniform.within(0.15, 0.19),
            nose_length: uniform.within(0.17, 0.24),
            nose_width: uniform.within(0.05, 0.085),
            mouth_width: uniform.within(0.19, 0.26),
            mouth_height: uniform.within(0.33, 0.38),
            hair_volume: uniform.within(0.05, 0.12),
        }
    }
}

/// Pose, light, expression, surroundings and camera of one picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// Of the head's centre, in units of half the picture.
    pub(super) shift: [f32; 2],
    pub(super) scale: f32,
    /// Tangent of half the angle in the plane of the picture.
    pub(super) roll: f32,
    /// Strength of the turn; its direction is an attribute.
    pub(super) turn: f32,
    /// Sideways strength of the light; its side is an attribute.
    pub(super) light: f32,
    pub(super) light_height: f32,
    pub(super) background_hue: f32,
    pub(super) background_value: f32,
    pub(super) background_slope: f32,
    pub(super) stripe_phase: f32,
    pub(super) shirt_hue: f32,
    pub(super) shirt_value: f32,
    pub(super) hat_hue: f32,
    pub(super) hat_value: f32,
    pub(super) gaze: [f32; 2],
    pub(super) smile: f32,
    pub(super) opening: f32,
    pub(super) brow_raise: f32,
    pub(super) clutter: [Option<Thing>; 4],
    pub(super) camera: Camera,
}

impl View {
    fn draw(uniform: &mut Uniform) -> Self {
        Self {
            shift: [uniform.within(-0.25, 0.25), uniform.within(-0.19, 0.17)],
            scale: uniform.within(0.79, 1.11),
            roll: uniform.within(-0.155, 0.155),
            turn: uniform.within(0.35, 1.0),
            light: uniform.within(0.35, 0.9),
            light_height: uniform.within(0.1, 0.6),
            background_hue: uniform.unit(),
            background_value: uniform.unit(),
            background_slope: uniform.within(-0.15, 0.15),
            stripe_phase: uniform.unit(),
            shirt_hue: uniform.unit(),
            shirt_value: uniform.within(0.4, 0.9),
            hat_hue: uniform.unit(),
            hat_value: uniform.within(0.35, 0.85),
            gaze: [uniform.within(-0.03, 0.03), uniform.within(-0.015, 0.015)],
            smile: uniform.within(0.55, 1.0),
            opening: uniform.within(0.08, 0.12),
            brow_raise: uniform.within(-0.02, 0.03),
            clutter: [0; 4].map(|_| Thing::draw(uniform)),
            camera: Camera::draw(uniform),
        }
    }
}

/// Everything one picture is drawn from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Face {
    pub(super) traits: Traits,
    pub(super) person: Person,
    pub(super) view: View,
}

impl Face {
    pub(super) fn draw(seed: u64, person: u64, picture: u64) -> Self {
        let mut traits = Traits([false; Attribute::ALL.len()]);
        let mut uniform = Uniform::new(seed, person, u64::MAX);
        uniform.draw(&mut traits, true);
        let drawn = Person::draw(&mut uniform);
        let mut uniform = Uniform::new(seed, person, picture);
        uniform.draw(&mut traits, false);
        Self { traits, person: drawn, view: View::draw(&mut uniform) }
    }

    /// The same face and attributes without what is there to be seen through.
    pub(super) fn in_studio(self) -> Self {
        let view = View {
            shift: [0.0; 2],
            scale: 0.95,
            roll: 0.0,
            light: 0.6,
            light_height: 0.35,
            stripe_phase: 0.0,
            clutter: [None; 4],
            camera: Camera::STUDIO,
            ..self.view
        };
        Self { view, ..self }
    }
}
