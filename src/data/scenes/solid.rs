//! Shaded solids: light, and bodies turned about an axis.

use super::painter::{P2, P3, Rgb, along, dot, quarter, unit};

/// A lamp far away, and the eye in front of the picture.
pub struct Light {
    /// Where the light comes from: right, down, towards the eye.
    pub from: P3,
    /// Halfway between the light and the eye.
    halfway: P3,
    /// The colour thrown back by the table.
    bounce: Rgb,
}

impl Light {
    pub fn new(from: P3, bounce: Rgb) -> Self {
        let from = unit(from);
        Self {
            from,
            halfway: unit(along(from, 1.0, [0.0, 0.0, 1.0])),
            bounce,
        }
    }

    /// The light that a surface sends to the eye: diffuse, from all around, from the table, and a
    /// highlight of strength `gloss`.
    pub fn shade(&self, albedo: Rgb, normal: P3, gloss: f64) -> Rgb {
        let direct = dot(normal, self.from).max(0.0);
        let sky = 0.16 - 0.08 * normal[1];
        let table = 0.16 * normal[1].max(0.0);
        let mut shine = dot(normal, self.halfway).max(0.0);
        for _ in 0..5 {
            shine *= shine;
        }
        [0, 1, 2].map(|c| {
            albedo[c] * (0.95 * direct + sky + table * self.bounce[c])
                + gloss * shine * direct.sqrt()
        })
    }
}

/// Where a body is hit: across and along it in `[-1, 1]`, and the outward normal.
pub struct Hit {
    /// From its left edge to its right.
    pub across: f64,
    /// From its bottom to its top.
    pub along: f64,
    pub normal: P3,
}

/// A body of revolution, seen from the side.
pub struct Lathe<F: Fn(f64) -> f64> {
    pub centre: P2,
    /// Direction from bottom to top, of length one.
    pub up: P2,
    pub half_height: f64,
    pub half_width: f64,
    /// Radius at each height in `[-1, 1]`, as a part of `half_width`.
    pub profile: F,
}

impl<F: Fn(f64) -> f64> Lathe<F> {
    /// No point of the body is farther from its centre than this.
    pub fn reach(&self) -> f64 {
        1.2 * (self.half_height * self.half_height + self.half_width * self.half_width).sqrt()
    }

    /// The point `across` and `along` the body, as [`Hit`] counts them.
    pub fn point(&self, across: f64, along_axis: f64) -> P2 {
        let right = quarter(self.up);
        let middle = along(self.centre, along_axis * self.half_height, self.up);
        along(middle, across * self.half_width, right)
    }

    pub fn hit(&self, p: P2) -> Option<Hit> {
        let d = along(p, -1.0, self.centre);
        let right = quarter(self.up);
        let t = dot(d, self.up) / self.half_height;
        if t.abs() >= 1.0 {
            return None;
        }
        let radius = (self.profile)(t);
        let across = dot(d, right) / self.half_width / radius;
        if radius <= 0.0 || across.abs() >= 1.0 {
            return None;
        }
        let (low, high) = ((t - 0.01).max(-1.0), (t + 0.01).min(1.0));
        let growth = ((self.profile)(high) - (self.profile)(low)) / (high - low);
        let tilt = -growth * self.half_width / self.half_height;
        let flat = along(right.map(|v| v * across), tilt, self.up);
        let normal = unit([flat[0], flat[1], (1.0 - across * across).sqrt()]);
        Some(Hit {
            across,
            along: t,
            normal,
        })
    }
}

/// The profile of a ball.
pub fn ball(t: f64) -> f64 {
    (1.0 - t * t).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ball_has_the_normals_of_a_ball() {
        let body = Lathe {
            centre: [0.1, 0.2],
            up: [0.6, -0.8],
            half_height: 0.5,
            half_width: 0.5,
            profile: ball,
        };
        let hit = body.hit([0.3, 0.3]).unwrap();
        let expected = [0.4, 0.2, (1.0_f64 - 0.2).sqrt()];
        for (n, x) in hit.normal.iter().zip(expected) {
            assert!((n - x).abs() < 1e-3, "{:?}", hit.normal);
        }
        let back = body.point(hit.across * ball(hit.along), hit.along);
        assert!((back[0] - 0.3).abs() < 1e-12 && (back[1] - 0.3).abs() < 1e-12);
        assert!(body.hit([0.7, 0.2]).is_none());
    }

    #[test]
    fn faces_that_look_at_the_lamp_are_brightest() {
        let light = Light::new([-1.0, -1.0, 1.0], [0.5; 3]);
        let towards = light.shade([0.5; 3], light.from, 0.0)[0];
        let away = light.shade([0.5; 3], light.from.map(|v| -v), 0.0)[0];
        assert!(towards > 3.0 * away && away > 0.0);
    }
}
