//! A place on the table: the shadow and the shaded bodies of what stands there.

use super::painter::{Canvas, P2, Rgb, along, dot, quarter, ramp, rgb, scale, turn, unit};
use super::solid::{Hit, Lathe, Light};

/// Stems and twigs.
pub const BROWN: Rgb = rgb(0.32, 0.22, 0.12);

/// Where a thing stands on the table, how large it is, and in what light.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The middle of its foot.
    pub foot: P2,
    /// About half its height.
    pub size: f64,
    pub light: &'a Light,
}

impl Place<'_> {
    /// A soft shadow around the foot, longer on the side that the lamp does not reach.
    pub fn shadow(&self, canvas: &mut Canvas, width: f64) {
        let reach = self.size * width;
        let slide = -self.light.from[0] * 0.75 * reach;
        let centre = [self.foot[0] + slide, self.foot[1] - 0.06 * self.size];
        let squash = 0.32;
        canvas.paint(centre, 1.9 * reach, |p, under| {
            let d = along(p, -1.0, centre);
            let soft = dot([d[0] / 1.5, d[1] / squash], [d[0] / 1.5, d[1] / squash]).sqrt() / reach;
            let near = along(p, -1.0, self.foot);
            let contact = dot([near[0], near[1] / 0.3], [near[0], near[1] / 0.3]).sqrt() / reach;
            let dark = 0.62 * ramp(1.15, 0.45, soft);
            let dark = dark.max(0.75 * ramp(1.0, 0.35, contact));
            scale(under, 1.0 - dark)
        });
    }

    /// An upright body of the given half sides, leaning a little.
    pub fn body<F: Fn(f64) -> f64>(&self, half: P2, lean: f64, profile: F) -> Lathe<F> {
        let [c, s] = turn(lean);
        Lathe {
            centre: [self.foot[0], self.foot[1] - half[1] * self.size],
            up: [s, -c],
            half_height: half[1] * self.size,
            half_width: half[0] * self.size,
            profile,
        }
    }

    /// Paints a body with the colour and gloss that `skin` gives to each point of it.
    pub fn solid<F: Fn(f64) -> f64>(
        &self,
        canvas: &mut Canvas,
        body: &Lathe<F>,
        gloss: f64,
        skin: impl Fn(&Hit) -> Option<Rgb>,
    ) {
        canvas.paint(body.centre, body.reach(), |p, under| {
            let Some(hit) = body.hit(p) else {
                return under;
            };
            skin(&hit).map_or(under, |albedo| self.light.shade(albedo, hit.normal, gloss))
        });
    }
}

/// A round twig from `a` to `b`.
pub fn twig(canvas: &mut Canvas, a: P2, b: P2, radius: f64, light: &Light, colour: Rgb) {
    let d = along(b, -1.0, a);
    let length = dot(d, d).sqrt();
    let (axis, side) = (unit(d), quarter(unit(d)));
    canvas.paint(a, length + radius, |p, under| {
        let q = along(p, -1.0, a);
        let (t, s) = (dot(q, axis) / length, dot(q, side) / radius);
        if !(0.0..1.0).contains(&t) || s.abs() >= 1.0 {
            return under;
        }
        let normal = [side[0] * s, side[1] * s, (1.0 - s * s).sqrt()];
        light.shade(colour, normal, 0.0)
    });
}
