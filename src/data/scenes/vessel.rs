//! A bottle and a bowl.

use super::fruit::{apple, orange, plum};
use super::painter::{Canvas, Dice, P2, along, dot, mix, ramp, rgb, scale};
use super::place::Place;
use super::solid::{Lathe, ball};

/// A glass bottle with a label.
pub fn bottle(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let glass = dice.pick([
        rgb(0.12, 0.26, 0.16),
        rgb(0.36, 0.20, 0.10),
        rgb(0.20, 0.32, 0.42),
    ]);
    let paper = dice.vary(rgb(0.86, 0.80, 0.66), 0.1);
    place.shadow(canvas, 0.8);
    let (neck, shoulder) = (dice.between(0.3, 0.42), dice.between(0.1, 0.35));
    let body = place.body([0.62, 2.1], 0.0, |t| {
        let lip = if t > 0.9 { 1.25 } else { 1.0 };
        let foot = ball((-0.93 - t).max(0.0) / 0.07 * 0.6);
        foot * (1.0 + (neck * lip - 1.0) * ramp(shoulder - 0.25, shoulder + 0.25, t))
    });
    place.solid(canvas, &body, 0.9, |hit| {
        let label = (hit.along + 0.4).abs() < 0.26;
        let line = (hit.along + 0.4).abs() > 0.21 || (hit.along + 0.44).abs() < 0.05;
        let shine = ramp(0.12, 0.0, (hit.across + 0.62).abs());
        Some(match (label, line) {
            (true, true) => scale(paper, 0.5),
            (true, false) => paper,
            _ => mix(glass, rgb(0.8, 0.85, 0.85), 0.6 * shine),
        })
    });
}

/// A bowl, filled with round fruit.
pub fn bowl(canvas: &mut Canvas, place: Place, dice: &mut Dice) {
    let glaze = dice.pick([
        rgb(0.84, 0.86, 0.88),
        rgb(0.26, 0.38, 0.58),
        rgb(0.66, 0.34, 0.20),
    ]);
    let band = dice.pick([rgb(0.20, 0.30, 0.55), rgb(0.90, 0.86, 0.72)]);
    let size = 1.05 * place.size;
    Place { size, ..place }.shadow(canvas, 1.1);
    let rim = [place.foot[0], place.foot[1] - 1.05 * size];
    let (wide, flat) = (1.4 * size, 0.36 * size);
    let radius = |p: P2| {
        let d = along(p, -1.0, rim);
        dot([d[0] / wide, d[1] / flat], [d[0] / wide, d[1] / flat]).sqrt()
    };
    let light = place.light;
    canvas.paint(rim, 1.1 * wide, |p, under| match radius(p) {
        r if r > 1.0 => under,
        r if r > 0.93 => scale(glaze, 0.95),
        _ => scale(
            glaze,
            0.12 + 0.25 * ramp(-1.0, 1.0, -light.from[0] * (p[0] - rim[0]) / wide),
        ),
    });
    for (x, y) in [
        (-0.5, -0.05),
        (0.5, -0.05),
        (0.0, -0.12),
        (-0.3, 0.22),
        (0.32, 0.24),
    ] {
        let foot = [rim[0] + x * wide, rim[1] + y * size + 0.28 * size];
        let inside = Place {
            foot,
            size: 0.5 * size,
            light,
        };
        match dice.below(3) {
            0 => orange(canvas, inside, dice),
            1 => plum(canvas, inside, dice),
            _ => apple(canvas, inside, dice),
        }
    }
    let body = Lathe {
        centre: [rim[0], rim[1] + 0.52 * size],
        up: [0.0, -1.0],
        half_height: 0.56 * size,
        half_width: wide,
        profile: |t: f64| 0.34 + 0.66 * (0.5 * (t + 1.0)).max(0.0).sqrt(),
    };
    canvas.paint(body.centre, 1.2 * wide, |p, under| {
        // In front of the rim only: the fruit shows above it.
        let front = p[1] > rim[1] && radius(p) > 0.96;
        match body.hit(p) {
            Some(hit) if front => {
                // Bands follow the ellipse of the rim.
                let level = hit.along + 0.3 * (1.0 - hit.across * hit.across).sqrt();
                let lip = radius(p) < 1.06;
                let albedo = if !lip && (level - 0.35).abs() < 0.12 {
                    band
                } else {
                    glaze
                };
                light.shade(albedo, hit.normal, 0.6)
            }
            _ => under,
        }
    });
}
